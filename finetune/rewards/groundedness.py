"""Whether a reply says what its passages say, by the rail that guards the server's answers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from guardrail.declining import declines
from guardrail.finetune.data.rows import turns
from guardrail.index.encoder import MiniLM
from guardrail.protocols import Claim
from guardrail.rails.grounding import GroundingRail
from guardrail.repetition import Shown
from guardrail.sentences import MARKER, spans
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail.finetune.data.rows import Prompt
    from guardrail.protocols import Encoder, Judgement


class Groundedness:
    """The mean support of a reply's sentences by the prompt's passages, 0 to 1; a sentence that breaks a hard rule (a number or a name of its own) has 0.

    Sentences that state nothing do not count, so that a reply gains nothing by being made of them: one that states nothing has 0, as has every reply to
    a prompt without passages. A sentence that repeats an earlier one has 0, for the server would not show it. Where the prompt is known to have no answer, a
    reply that says so has 1 and every other one 0.
    """

    def __init__(self, encoder: Encoder | None = None) -> None:
        self._encoder = encoder or MiniLM()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="groundedness")
        self._rail = GroundingRail(self._encoder, pool=self._pool)
        self._tokens = lru_cache(maxsize=4096)(lambda text: self._encoder.encode((text,))[0].tokens)

    @property
    def least(self) -> float:
        """The support below which the server would not show a sentence."""
        return 1.0 - self._rail.threshold

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> NDArray[np.float64]:
        answered = zip(prompts, replies, self.supports(prompts, replies, once=True), strict=True)
        return np.array([_mean(found) if prompt.answerable else float(declines(reply)) for prompt, reply, found in answered])

    def supports(self, prompts: Sequence[Prompt], replies: Sequence[str], *, once: bool = False) -> list[list[float]]:
        """For each reply the support of every sentence that states something, 0 to 1; with `once` that of a sentence that repeats an earlier one is 0."""
        claims: list[tuple[int, str]] = []
        for number, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
            if prompt.passages:
                claims += [(number, MARKER.sub("", reply[start:end]).strip()) for start, end in spans(reply)]
        encodings = self._encoder.encode([text for _, text in claims]) if claims else []
        evidence = {number: self._evidence(prompts[number]) for number, _ in claims}
        judged = [Claim(evidence=evidence[number], text=text, encoding=encoding) for (number, text), encoding in zip(claims, encodings, strict=True)]
        found: list[list[float]] = [[] for _ in replies]
        shown = [Shown() for _ in replies]
        for (number, text), judgement in zip(claims, asyncio.run(self._judged(judged)), strict=True):
            if judgement.sentence.passage is not None or judgement.verdict.decision != "pass":  # else it passes because it states nothing
                repeats = once and shown[number].hold(text)
                found[number].append(0.0 if repeats else 1.0 - judgement.verdict.score)
                shown[number].add(text)
        return found

    async def _judged(self, claims: Sequence[Claim]) -> list[Judgement]:
        return [await self._rail.judge(claim) for claim in claims]

    def _evidence(self, prompt: Prompt) -> Evidence:
        messages = tuple(Message(role=turn.role, content=turn.content) for turn in turns(prompt.prompt))
        persona = prompt.persona or ""
        request = Request(id=prompt.id, persona=persona, messages=messages)
        hits = tuple(
            Hit(
                passage=Passage(id=str(number), source_id=str(number), title="", work=work, locator="", persona=persona, text=text, start=0, end=len(text)),
                score=1.0,
                dense=1.0,
                late=1.0,
                coverage=1.0,
                tokens=self._tokens(text),
            )
            for number, (text, work) in enumerate(zip_longest(prompt.passages, prompt.works, fillvalue=""))
        )
        return Evidence(question=Question(request=request, text=request.text), hits=hits)


def _mean(found: Sequence[float]) -> float:
    return sum(found) / len(found) if found else 0.0
