"""The verdict log: one JSON line a turn, appended, that says what was decided and why. It holds no text of a user or a reply unless told to."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from guardrail import presentation
from guardrail.append_log import AppendLog
from guardrail.types import Answer

if TYPE_CHECKING:
    from guardrail.errors import GuardrailError
    from guardrail.settings import VerdictLogSettings
    from guardrail.types import Reply, Request

log = logging.getLogger("guardrail.verdicts")


class VerdictLog:
    """Appends to the file that the settings name. A line that cannot be written is reported and the turn goes on."""

    def __init__(self, settings: VerdictLogSettings) -> None:
        """Raises ConfigurationError where the file cannot be opened for appending."""
        assert settings.path is not None
        self._lines = AppendLog(settings.path, setting="verdict_log.path")
        self._text = settings.text

    def reply(self, reply: Reply, config_hash: str) -> None:
        """Log a turn that ended with a reply."""
        request = reply.request
        self._write(
            request,
            config_hash,
            {
                "reply": presentation.kind(reply),
                "decision": presentation.decision(reply),
                "generator": reply.generator,
                "passages": [citation.passage_id for citation in reply.citations] if isinstance(reply, Answer) else [],
                "verdicts": [presentation.verdict_object(verdict) for verdict in reply.verdicts],
                "timings_ms": presentation.timings_object(reply.timings),
            },
            said=reply.text,
        )

    def failure(self, request: Request, error: GuardrailError, config_hash: str) -> None:
        """Log a turn that ended with an error."""
        self._write(request, config_hash, {"error": error.code}, said=None)

    def _write(self, request: Request, config_hash: str, found: dict[str, Any], *, said: str | None) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "id": request.id, "persona": request.persona, "config_hash": config_hash, **found}
        if self._text:
            line |= {"message": request.text if request.messages else None, "text": said}
        try:
            self._lines.write(line)
        except OSError as error:
            log.error("the verdict log cannot be written", extra={"fields": {"path": self._lines.path, "reason": error.strerror}})
