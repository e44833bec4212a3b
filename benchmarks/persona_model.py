"""What the persona model makes of questions that no training used, `benchmarks/persona`: bare, and behind the rails of the default deployment.

Run: python -m benchmarks.persona_model MODEL [--split dev|test] [--copying NATS] [--temperature T] [--verbose]

- own: of the answerable questions, those that were answered with at least one sentence of the model's own; the others were quoted or not answered.
- supported: of the sentences that it drafted and that state something, those that the grounding rail would show.
- abstention: of the questions that the library does not answer, those that were not answered; and how often the model itself said so where it was asked.
- greeting: small talk of fewer than 300 characters.

`--verbose` prints the drafts of dev alone.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import msgspec

from guardrail import Guardrail
from guardrail.declining import declines
from guardrail.figures import Figure, bootstrap, wilson
from guardrail.generate import shipped
from guardrail.generate.continuations import leaning
from guardrail.generate.numpy import NumpyGenerator
from guardrail.index.encoder import MiniLM
from guardrail.protocols import Claim
from guardrail.rails.grounding import GroundingRail
from guardrail.sentences import MARKER, spans
from guardrail.settings import GeneratorSettings, Settings
from guardrail.types import Answer, Message, Request, Sampling, Smalltalk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from guardrail.protocols import Chunk, Generator, Prompt

FOLDER = Path(__file__).parent / "persona"
_LONGEST_GREETING = 300


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the set."""

    id: str
    persona: str
    question: str
    kind: Literal["answerable", "near", "outside", "greeting", "small-talk"]
    passages: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Recorder:
    """A generator that keeps what it wrote last."""

    inner: Generator
    prompt: Prompt | None = None
    draft: str = ""
    tokens: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return self.inner.name

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        self.prompt, self.draft = prompt, ""
        began = time.perf_counter()
        async with aclosing(self.inner.generate(prompt)) as chunks:
            async for chunk in chunks:
                self.draft += chunk.text
                if chunk.usage is not None:
                    self.tokens += chunk.usage.completion_tokens
                    self.seconds += time.perf_counter() - began
                yield chunk

    async def warm_up(self) -> None:
        await self.inner.warm_up()

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one run."""

    own: list[bool] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)
    supported: list[tuple[int, int]] = field(default_factory=list)
    """Of each draft the supported sentences and all that state something."""
    right: list[bool] = field(default_factory=list)
    abstained: list[bool] = field(default_factory=list)
    admitted: list[bool] = field(default_factory=list)
    greeted: list[bool] = field(default_factory=list)


def figures(tally: Tally, recorder: Recorder) -> list[Figure]:
    """Each with its 95 % interval: Wilson's of a share, a bootstrap over drafts of sentences."""
    found = []
    for name, hits in (
        ("own", tally.own),
        ("answered", tally.answered),
        ("right passage first", tally.right),
        ("abstention", tally.abstained),
        ("admitted by the model", tally.admitted),
        ("greeting", tally.greeted),
    ):
        if hits:
            low, high = wilson(sum(hits), len(hits))
            found.append(Figure(name=name, value=sum(hits) / len(hits), low=low, high=high, n=len(hits)))
    shares = [good / total for good, total in tally.supported if total]
    if shares:
        low, high = bootstrap(shares, seed=0)
        found.append(Figure(name="supported, mean over drafts", value=sum(shares) / len(shares), low=low, high=high, n=len(shares)))
        kept, made = (sum(counts) for counts in zip(*tally.supported, strict=True))
        found.append(Figure(name="supported, of all sentences", value=kept / made, n=made))
    if recorder.seconds:
        found.append(Figure(name="tokens a second", value=recorder.tokens / recorder.seconds, n=recorder.tokens))
    return found


async def measure(cases: Sequence[Case], recorder: Recorder, *, temperature: float, verbose: bool) -> Tally:
    """Every case as a turn of its own."""
    encoder = MiniLM()
    rail = GroundingRail(encoder)
    guard = Guardrail(Settings(generator=GeneratorSettings(template=shipped.TEMPLATE, temperature=temperature)), generator=recorder)
    await guard.start()
    tally = Tally()
    try:
        for case in cases:
            recorder.prompt, recorder.draft = None, ""
            request = Request(
                id=uuid4().hex,
                persona=case.persona,
                messages=(Message(role="user", content=case.question),),
                sampling=Sampling(temperature=temperature, seed=7),
            )
            reply = await guard.reply(request)
            own = isinstance(reply, Answer) and reply.generator == recorder.name
            if case.kind in {"greeting", "small-talk"}:
                if case.kind == "greeting":
                    tally.greeted.append(isinstance(reply, Smalltalk) and len(reply.text) < _LONGEST_GREETING)
                continue
            if case.kind == "answerable":
                tally.own.append(own)
                tally.answered.append(isinstance(reply, Answer))
                if isinstance(reply, Answer) and reply.citations:
                    tally.right.append(reply.citations[0].passage_id.split("#")[0] in case.passages)
            else:
                tally.abstained.append(not isinstance(reply, Answer))
                if recorder.prompt is not None:
                    tally.admitted.append(declines(recorder.draft))
            if recorder.prompt is not None and case.kind == "answerable":
                tally.supported.append(await _supported(rail, recorder.prompt, recorder.draft))
            if verbose:
                sys.stdout.write(
                    f"{case.id} {case.kind} {case.question}\n  draft: {recorder.draft}\n  {type(reply).__name__} by {getattr(reply, 'generator', '')}\n"
                )
    finally:
        await guard.aclose()
    return tally


async def _supported(rail: GroundingRail, prompt: Prompt, draft: str) -> tuple[int, int]:
    kept = made = 0
    for start, end in spans(draft):
        text = MARKER.sub("", draft[start:end]).strip()
        judgement = await rail.judge(Claim(evidence=prompt.evidence, text=text))
        passed = judgement.verdict.decision == "pass"
        if judgement.sentence.passage is not None or not passed:
            made += 1
            kept += passed
    return kept, made


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a persona model on questions that no training used.")
    parser.add_argument("model")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--copying", type=float, default=0.0)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    cases = [msgspec.json.decode(line, type=Case) for line in (FOLDER / f"{chosen.split}.jsonl").read_bytes().splitlines()]
    recorder = Recorder(inner=NumpyGenerator(model=chosen.model, leanings=(leaning(chosen.copying),) if chosen.copying else ()))
    tally = asyncio.run(measure(cases, recorder, temperature=chosen.temperature, verbose=chosen.verbose and chosen.split == "dev"))
    for figure in figures(tally, recorder):
        interval = f" [{figure.low:.3f}, {figure.high:.3f}]" if figure.low is not None else ""
        sys.stdout.write(f"{figure.name}: {figure.value:.3f}{interval} n {figure.n}\n")


if __name__ == "__main__":
    main()
