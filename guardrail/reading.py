"""A request as the input rails read it: without disguise, completed from the conversation, and in every reading that it hides."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guardrail import conversation
from guardrail.enforcement import enforced
from guardrail.errors import RailError
from guardrail.normal import joined, normalise, readings
from guardrail.protocols import Screening
from guardrail.rails.courtesy import behind_greeting, courtesy, introduction
from guardrail.rails.limits import check_request
from guardrail.types import Intent, Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from guardrail.enforcement import EnforcedRail
    from guardrail.normal import Normalised
    from guardrail.protocols import IntentClassifier
    from guardrail.rails.courtesy import Courtesy
    from guardrail.settings import LimitSettings
    from guardrail.types import Decision, Encoding, Finding, Request

    Encode = Callable[[Sequence[str]], Awaitable[list[Encoding]]]

_PIECES_WITHIN = 16_000
"""How many characters of the user's last messages are searched for the pieces of one payload."""
_GRAVITY: tuple[Decision, ...] = ("pass", "modify", "abstain", "block")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A request as the rails read it."""

    said: str
    """The message itself, without disguise."""
    text: str
    """The message as it can be understood alone."""
    courtesy: str | None = None
    """Which of the persona's lines answers it, where it is blank, a courtesy and nothing else, or asks about nothing that was named.

    A rail may block it nevertheless, where the writer of the courtesy also says who they are.
    """
    encoding: Encoding | None = None
    intent: Intent | None = None
    verdicts: tuple[Verdict, ...] = ()
    """Their findings are spans of the message as it was sent; what was found in an earlier message has an empty one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads requests. `encode` is None in a deployment without an encoder; `names` are those that a courtesy may address."""

    limits: LimitSettings
    names: Collection[str]
    encode: Encode | None
    intent: IntentClassifier | None
    budget_ms: int

    async def read(self, request: Request, rails: tuple[EnforcedRail, ...], *, every: bool = False) -> Reading:
        """What the request says, and what `rails` say of it. Raises InvalidRequest, and RailError where one fails closed.

        Rails that need no encoding run first; where one of them blocks, the others are `skipped`, unless `every` is set.
        """
        check_request(request, self.limits)
        said = normalise(request.text).text
        kind = courtesy(said, self.names)
        plainly: Intent | None = None
        if kind is not None:
            plainly = _intent_of(kind)
            if kind == "blank" or not every:
                return Reading(said=said, text=said, courtesy=_line_for(kind), intent=plainly)
        whole = conversation.standalone(request.messages)
        if kind is None and not every and self.encode is not None and conversation.names_nothing(whole):  # there is nothing to search for
            return Reading(said=said, text=said, courtesy="unclear", intent=Intent(label="smalltalk", score=1.0))
        shown, hidden = normalise(whole), (*readings(whole), *_in_pieces(request))
        place = _Place(request.text)
        cheap = tuple(rail for rail in rails if "encoding" not in rail.rail.needs)
        costly = tuple(rail for rail in rails if "encoding" in rail.rail.needs)
        views = [shown, *hidden]
        begins = behind_greeting(shown.text, self.names)
        if begins:  # to the heads a message that begins with a greeting is above all a greeting
            views.append(shown.part(begins, len(shown.text)))
        verdicts = await self._judged(cheap, request, [(view, None) for view in views], place)
        if not every and any(verdict.decision == "block" and enforced(verdict) for verdict in verdicts):
            return Reading(said=said, text=shown.text, verdicts=(*verdicts, *map(_skipped, costly)))
        encodings: Sequence[Encoding | None] = [None] * len(views)
        if self.encode is not None:
            encodings = await self.encode([view.text for view in views])
        verdicts += await self._judged(costly, request, list(zip(views, encodings, strict=True)), place)
        encoding = encodings[0]
        introduced = introduction(said, self.names) if kind is None else None
        if introduced is not None:
            plainly = _intent_of(introduced)
        intent = plainly or (self.intent.classify(encoding) if self.intent and encoding else None)
        line = _line_for(introduced) if introduced is not None and not every else None
        return Reading(said=said, text=shown.text, courtesy=line, encoding=encoding, intent=intent, verdicts=verdicts)

    async def _judged(
        self, rails: tuple[EnforcedRail, ...], request: Request, views: Sequence[tuple[Normalised, Encoding | None]], place: _Place
    ) -> tuple[Verdict, ...]:
        """Each rail's verdict: on the first of `views`, the text as it shows, or the gravest over all of them where the rail looks for hidden readings."""
        (shown, encoding), *hidden = views
        found = await check_all(rails, Screening(request=request, text=shown.text, encoding=encoding), self.budget_ms)
        worst = [place.verdict(verdict, shown) for verdict in found]
        seeking = [number for number, rail in enumerate(rails) if rail.seeks_hidden]
        seekers = tuple(rails[number] for number in seeking)
        for reading, encoding in hidden:
            further = await check_all(seekers, Screening(request=request, text=reading.text, encoding=encoding), self.budget_ms)
            for number, verdict in zip(seeking, further, strict=True):
                if _weight(verdict) > _weight(worst[number]):
                    worst[number] = place.verdict(verdict, reading)
        return tuple(worst)


def _intent_of(kind: Courtesy) -> Intent:
    return Intent(label="greeting" if kind in {"blank", "greeting"} else "smalltalk", score=1.0)


def _line_for(kind: Courtesy) -> str:
    return "smalltalk" if kind == "pleasantry" else kind


async def check_all(rails: tuple[EnforcedRail, ...], subject: object, budget_ms: int) -> tuple[Verdict, ...]:
    """Every rail's verdict on the subject; they run side by side. Raises RailError where they take longer than `budget_ms` together."""
    if not rails:
        return ()
    if len(rails) == 1:
        return (await rails[0].check(subject),)
    try:
        async with asyncio.timeout(budget_ms / 1000):
            return tuple(await asyncio.gather(*(rail.check(subject) for rail in rails)))
    except TimeoutError:
        raise RailError(f"The rails took longer than {budget_ms} ms together, so this reply is withheld. Try again.") from None


def _in_pieces(request: Request) -> list[Normalised]:
    """What pieces of the last messages say together, with places in the last one; what stood in a message before it has places below 0."""
    said = [message.content.strip() for message in request.messages if message.role == "user"]
    recent = "\n".join(said).rstrip()[-_PIECES_WITHIN:]
    offset = len(said[-1]) - len(recent)
    return [
        replace(reading, starts=tuple(start + offset for start in reading.starts), ends=tuple(end + offset for end in reading.ends))
        for reading in joined(recent)
        if reading.starts is not None and reading.ends is not None
    ]


class _Place:
    """Where spans of the message completed from the conversation stand in the message as it was sent, which is its beginning."""

    def __init__(self, message: str) -> None:
        self._indent = len(message) - len(message.lstrip())
        self._size = len(message.strip())

    def verdict(self, verdict: Verdict, reading: Normalised) -> Verdict:
        if not verdict.findings:
            return verdict
        return replace(verdict, findings=tuple(self._finding(finding, reading) for finding in verdict.findings))

    def _finding(self, finding: Finding, reading: Normalised) -> Finding:
        start, end = (min(max(0, edge), self._size) for edge in reading.original(finding.start, finding.end))
        return replace(finding, start=start + self._indent, end=end + self._indent) if end > start else replace(finding, start=0, end=0)


def _weight(verdict: Verdict) -> tuple[int, float]:
    return _GRAVITY.index(verdict.decision), verdict.score


def _skipped(rail: EnforcedRail) -> Verdict:
    return Verdict(
        rail=rail.rail.id,
        rail_version=rail.rail.version,
        stage=rail.stage,
        decision="pass",
        outcome="skipped",
        mode=rail.settings.mode,
        reason="an earlier rail had already decided",
    )
