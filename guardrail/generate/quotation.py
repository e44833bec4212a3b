"""Answers made of whole sentences from the passages, word for word. What no passage says cannot be said, so this generator is always there to fall back on."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal

from guardrail.protocols import Chunk
from guardrail.relevance import Relevance, count_tokens
from guardrail.types import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from guardrail.protocols import Encoder, Prompt
    from guardrail.types import Evidence, Heard, Passage

LEAD_INS = ("In the {work} ({locator}) it stands thus:",)
"""For a persona that brings none."""


class Quotation:
    """Picks whole sentences, five at most, that answer the question and puts the persona's lead-in, with work and locator, before those of each passage.

    Which sentences these are, `guardrail.relevance` says. The same evidence always gives the same answer.
    Its tokens are words and punctuation marks: usage counts those of the question and the passages read, and those written.
    """

    name = "quotation"

    verbatim = True
    """What it writes stands in the library, so nobody need look for a model's faults in it."""

    def __init__(
        self,
        *,
        lead_ins: Mapping[str, Sequence[str]] | None = None,
        replies: Mapping[str, Sequence[str]] | None = None,
        encoder: Encoder | None = None,
        max_tokens: int = 400,
    ) -> None:
        """`lead_ins`: for each persona id its forms, in which `{work}` and `{locator}` are filled in; `replies`: those for what answers another persona,
        with `{said}` and `{name}` besides. `encoder`: the one that made the hits' token states.
        """
        self._lead_ins = {persona: tuple(forms) or LEAD_INS for persona, forms in (lead_ins or {}).items()}
        self._replies = {persona: tuple(forms) for persona, forms in (replies or {}).items()}
        self._relevance = Relevance(encoder)
        self._max_tokens = max_tokens

    @property
    def relevance(self) -> Relevance:
        """What chooses its sentences."""
        return self._relevance

    def is_framing(self, sentence: str, evidence: Evidence) -> bool:
        """Whether `sentence` is a lead-in to one of the passages and nothing more, so that it states no doctrine."""
        sentence = sentence.strip()
        heard = evidence.question.heard
        return any(sentence == _fill(form, hit.passage, heard) for hit in evidence.hits for form in self._forms(evidence))

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        evidence = prompt.evidence
        limit = self._max_tokens if prompt.sampling.max_tokens is None else prompt.sampling.max_tokens
        read = count_tokens(evidence.question.text) + self._relevance.tokens(evidence)
        pieces = self._compose(evidence)
        lengths = [count_tokens(piece) for piece in pieces]
        fitting = 2  # a lead-in and a sentence are written whatever the limit
        while fitting < len(pieces) and sum(lengths[: fitting + 1]) <= limit:
            fitting += 1
        if fitting < len(pieces) and fitting > 2 and pieces[fitting - 1].endswith(":"):
            fitting -= 1
        last = fitting - 1 if prompt.stream else 0
        for piece in pieces[:last]:
            yield Chunk(text=piece)
        reason: Literal["stop", "length"] = "stop" if fitting >= len(pieces) else "length"
        usage = Usage(prompt_tokens=read, completion_tokens=sum(lengths[:fitting]))
        yield Chunk(text="".join(pieces[last:fitting]), finish_reason=reason, usage=usage)

    async def warm_up(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def _forms(self, evidence: Evidence) -> tuple[str, ...]:
        persona, heard = evidence.question.request.persona, evidence.question.heard
        replies = self._replies.get(persona, ()) if heard is not None and heard.statement else ()
        return replies or self._lead_ins.get(persona, LEAD_INS)

    def _lead_in(self, evidence: Evidence, passage: Passage) -> str:
        """The form for `passage`. Which one depends on the passage; in a dialogue on how often the persona has spoken, so that none comes twice in a row."""
        forms, heard = self._forms(evidence), evidence.question.heard
        own = sum(message.role == "assistant" for message in evidence.question.request.messages)
        return _fill(forms[(zlib.crc32(passage.id.encode()) if heard is None else own) % len(forms)], passage, heard)

    def _compose(self, evidence: Evidence) -> list[str]:
        """The answer in pieces, a lead-in or a sentence each, with the white space before it."""
        pieces: list[str] = []
        for hit, picked in self._relevance.chosen(evidence):
            pieces.append(("\n\n" if pieces else "") + self._lead_in(evidence, hit.passage))
            pieces += [("\n\n" if i == 0 else " ") + sentence for i, sentence in enumerate(picked)]
        return pieces


def _fill(form: str, passage: Passage, heard: Heard | None) -> str:
    """The lead-in with work and locator, and with what it answers; a work that brings its own article, or begins with `On`, gets none from the form."""
    work = passage.work or passage.title
    if work.split(" ", 1)[0] in ("A", "An", "The", "On"):
        form = form.replace("the {work}", "{work}").replace("The {work}", "{work}")
    if not passage.locator:
        form = form.replace(" ({locator})", "")
    name, said = ("", "") if heard is None else (heard.name, heard.statement.replace('"', "'"))
    return " ".join(form.format(work=work, locator=passage.locator, name=name, said=said).split())
