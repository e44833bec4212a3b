"""The rails and the library without a chat: `POST /v1/moderations`, `/v1/checks` and `/v1/retrieve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from guardrail import presentation, types
from guardrail.errors import InvalidRequest, MalformedText, RequestTooLarge, UnknownModel
from guardrail.rails.limits import malformation
from guardrail.server import wire
from guardrail.server.access import ENTRY
from guardrail.server.client import Client
from guardrail.server.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from guardrail.assemble import Guardrail
    from guardrail.server.gate import Gate
    from guardrail.server.metrics import Metrics
    from guardrail.types import Check

_encode = msgspec.json.Encoder().encode

MODERATION_MODEL = "guardrail-input-rails"
_CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "harassment": ("harm_hateful",),
    "harassment/threatening": (),
    "hate": ("harm_hateful",),
    "hate/threatening": (),
    "illicit": ("harm_illicit",),
    "illicit/violent": (),
    "self-harm": ("self_harm",),
    "self-harm/instructions": (),
    "self-harm/intent": (),
    "sexual": (),
    "sexual/minors": (),
    "violence": (),
    "violence/graphic": (),
}
"""OpenAI's categories, and the kinds of finding or the rails that speak for each."""

Asked_contra = TypeVar("Asked_contra", contravariant=True)
Asked = TypeVar("Asked")


class Work(Protocol[Asked_contra]):
    """What one of these routes does with what was asked."""

    async def __call__(self, asked: Asked_contra, request_id: str) -> msgspec.Struct | dict[str, Any]: ...


class Endpoint(Generic[Asked]):
    """An ASGI endpoint: reads a body as `type_`, waits for a place, and sends what `work` gives."""

    def __init__(self, guard: Guardrail, gate: Gate, type_: Any, work: Work[Asked]) -> None:
        self._settings = guard.settings.server
        self._gate = gate
        self._reader: Reader[Asked] = Reader(type_)
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = Client(scope, receive, send, self._settings)
        entry = scope[ENTRY]
        asked = self._reader.read(await client.body())
        async with client.turn(), self._gate.place(entry):
            found = await self._work(asked, entry.id)
        await client.respond(200, _encode(found), [])


class Checks:
    """What the three routes do."""

    def __init__(self, guard: Guardrail, metrics: Metrics) -> None:
        self._guard = guard
        self._metrics = metrics

    async def moderate(self, asked: wire.ModerationRequest, request_id: str) -> wire.Moderation:
        texts = [asked.input] if isinstance(asked.input, str) else [part if isinstance(part, str) else part.text for part in asked.input]
        self._bound(*(part for number, text in enumerate(texts) for part in ("input" if isinstance(asked.input, str) else f"input[{number}]", text)))
        results = []
        for text in texts:
            check = await self._guard.acheck_input(text) if text.strip() else types.Check(decision="pass", intent=None, verdicts=())
            self._metrics.judge(check.verdicts)
            results.append(_moderated(check))
        return wire.Moderation(id=f"modr-{request_id}", model=MODERATION_MODEL, results=results)

    async def check(self, asked: wire.InputCheck | wire.OutputCheck, request_id: str) -> dict[str, Any]:  # noqa: ARG002 - the signature of every work
        if isinstance(asked, wire.OutputCheck):
            self._bound("text", asked.text, "question", asked.question)
            self._bound(*(part for number, passage in enumerate(asked.passages) for part in (f"passages[{number}]", passage)))
            check = await self._guard.acheck_output(asked.text, passages=asked.passages, question=asked.question)
        elif (asked.text is None) == (asked.messages is None):
            raise InvalidRequest("Give either text or messages.", param="text")
        elif asked.messages is not None:
            check = await self._guard.acheck_input(tuple(types.Message(role=message.role, content=message.content) for message in asked.messages))
        else:
            text = asked.text or ""
            self._bound("text", text)
            check = await self._guard.acheck_input(text)
        self._metrics.judge(check.verdicts)
        return presentation.check_object(check)

    async def retrieve(self, asked: wire.RetrieveRequest, request_id: str) -> dict[str, Any]:  # noqa: ARG002
        if asked.persona is not None and asked.persona not in self._guard.personas:
            raise UnknownModel(f"There is no persona of that name; the personas are: {', '.join(sorted(self._guard.personas))}.", param="persona")
        self._bound("query", asked.query)
        hits = await self._guard.aretrieve(asked.query, persona=asked.persona, works=tuple(asked.works), k=asked.k)
        return {"passages": [presentation.passage_object(hit) for hit in hits]}

    def _bound(self, *named: str) -> None:
        """Names and texts in turn: each text must be within a message's limits."""
        limit = self._guard.settings.limits.message_chars
        for name, text in zip(named[::2], named[1::2], strict=True):
            if len(text) > limit:
                raise RequestTooLarge(f"{name} has {len(text)} characters and the limit is {limit}: shorten it.", param=name)
            flaw = malformation(text)
            if flaw is not None:
                raise MalformedText(f"{name} holds {flaw}", param=name)


def _moderated(check: Check) -> wire.ModerationResult:
    flagged: dict[str, bool] = {}
    scores: dict[str, float] = {}
    for verdict in check.verdicts:
        blocks = verdict.decision == "block" and verdict.mode == "enforce"
        for name in {verdict.rail, *(finding.type for finding in verdict.findings)}:
            flagged[name] = flagged.get(name, False) or blocks
            scores[name] = max(scores.get(name, 0.0), round(float(verdict.score), 4))
    unmeasured = [category for category, sources in _CATEGORIES.items() if not any(source in flagged for source in sources)]
    for category, sources in _CATEGORIES.items():
        flagged[category] = any(flagged.get(source, False) for source in sources)
        scores[category] = max((scores.get(source, 0.0) for source in sources), default=0.0)
    return wire.ModerationResult(
        flagged=check.decision == "block",
        categories=flagged,
        category_scores=scores,
        category_applied_input_types={category: ["text"] for category in flagged},
        guardrail=wire.Moderated(decision=check.decision, verdicts=list(check.verdicts), unmeasured=unmeasured),
    )
