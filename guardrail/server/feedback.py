"""`POST /v1/feedback`: thumbs, rewrites and choices, kept in a file that `guardrail finetune` reads preferences from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from guardrail.append_log import AppendLog
from guardrail.errors import FeedbackNotCollected, FeedbackNotStored, InvalidRequest, MalformedText, RequestTooLarge, UnknownModel
from guardrail.rails.limits import malformation
from guardrail.server import feedback_wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.assemble import Guardrail


class FeedbackBox:
    """Takes what was sent, checks it, and appends it."""

    def __init__(self, guard: Guardrail) -> None:
        """Raises ConfigurationError where the file that the settings name cannot be written."""
        self._guard = guard
        path = guard.settings.feedback.path
        self._lines = None if path is None else AppendLog(path, setting="feedback.path")

    async def take(self, asked: feedback_wire.AnyFeedback, request_id: str) -> feedback_wire.Stored:
        """Keep one piece of feedback. Raises InvalidRequest and its kin for what cannot be used, FeedbackNotStored where it cannot be written."""
        if self._lines is None:
            raise FeedbackNotCollected("This server does not collect feedback: set feedback.path in its configuration.")
        if asked.persona is not None and asked.persona not in self._guard.personas:
            raise UnknownModel(f"There is no persona of that name; the personas are: {', '.join(sorted(self._guard.personas))}.", param="persona")
        if asked.messages[-1].role != "user":
            raise InvalidRequest("The last message must be the user's, the one that was replied to.", param="messages")
        limits = self._guard.settings.limits
        if len(asked.messages) > limits.turns:
            raise RequestTooLarge(f"messages has {len(asked.messages)} turns and the limit is {limits.turns}: send fewer.", param="messages")
        for name, text in _texts(asked):
            if len(text) > limits.message_chars:
                raise RequestTooLarge(f"{name} has {len(text)} characters and the limit is {limits.message_chars}: shorten it.", param=name)
            flaw = malformation(text)
            if flaw is not None:
                raise MalformedText(f"{name} holds {flaw}", param=name)
        if isinstance(asked, feedback_wire.Comparison) and asked.replies[0] == asked.replies[1]:
            raise InvalidRequest("The two replies are the same, so neither can be better.", param="replies")
        if isinstance(asked, feedback_wire.Rewrite) and asked.rewrite == asked.reply:
            raise InvalidRequest("The rewrite is the reply itself: give what should have been said instead.", param="rewrite")
        line = {"id": request_id, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "config_hash": self._guard.config_hash}
        try:
            self._lines.write(line | {key: value for key, value in msgspec.to_builtins(asked).items() if value is not None})
        except OSError as error:
            raise FeedbackNotStored(f"The feedback could not be written ({error.strerror}): try again later.") from error
        return feedback_wire.Stored(id=request_id)


def _texts(asked: feedback_wire.AnyFeedback) -> Iterator[tuple[str, str]]:
    """Every text of it with the name of its field."""
    for number, message in enumerate(asked.messages):
        yield f"messages[{number}].content", message.content
    for name, text in msgspec.structs.asdict(asked).items():
        if isinstance(text, str):
            yield name, text
    if isinstance(asked, feedback_wire.Comparison):
        for number, reply in enumerate(asked.replies):
            yield f"replies[{number}]", reply
