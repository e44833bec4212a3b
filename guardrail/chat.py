"""One turn: screen, retrieve, write, verify. Knows the protocols of its parts and nothing behind them.

A stream and a whole reply are the same code: `reply` collects what `stream` yields.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guardrail import conversation
from guardrail.enforcement import EnforcedJudge, EnforcedRail, enforced
from guardrail.errors import UnknownModel
from guardrail.frontier import Frontier, TextCheck
from guardrail.protocols import Chunk, Clearing, Prompt, Query, Screening
from guardrail.rails.courtesy import courtesy
from guardrail.rails.limits import check_request, plain
from guardrail.reasoning import ReasoningFilter
from guardrail.types import Abstention, Answer, Delta, Draft, Evidence, Intent, Question, Refusal, Sampling, Smalltalk, Timings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from concurrent.futures import Executor

    from guardrail.prompts import Persona, Template
    from guardrail.protocols import Encoder, Generator, IntentClassifier, Retriever
    from guardrail.settings import Settings
    from guardrail.types import Encoding, Event, Reply, Request, Usage, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a turn is made of. `encoder` and `retriever` are None in a deployment without a library, `judge` where grounding is off."""

    personas: Mapping[str, Persona]
    template: Template
    generator: Generator
    fallback: Generator | None
    """Writes when nothing of the generator's draft is supported; quotation."""
    encoder: Encoder | None
    retriever: Retriever | None
    intent: IntentClassifier | None
    judge: EnforcedJudge | None
    input_rails: tuple[EnforcedRail, ...] = ()
    retrieval_rails: tuple[EnforcedRail, ...] = ()
    output_rails: tuple[EnforcedRail, ...] = ()
    pool: Executor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A request as the rails read it."""

    said: str
    """The message itself, without invisible characters."""
    text: str
    """The message as it can be understood alone."""
    courtesy: str | None = None
    """Which of the persona's lines answers it, where it is blank or a courtesy and nothing else."""
    encoding: Encoding | None = None
    intent: Intent | None = None
    verdicts: tuple[Verdict, ...] = ()


class Chat:
    """Answers requests. Holds no state between them."""

    def __init__(self, parts: Parts, settings: Settings) -> None:
        self.parts = parts
        self.settings = settings
        self._names = frozenset(word for persona in parts.personas.values() for word in (persona.id, *persona.name.lower().split()))
        self._text_checks = tuple(
            TextCheck(reach=rail.rail.reach, check=rail.check, clearing=rail.rail if isinstance(rail.rail, Clearing) else None) for rail in parts.output_rails
        )

    async def reply(self, request: Request) -> Reply:
        """The whole reply. Raises GuardrailError; a refusal is a value."""
        async with aclosing(self._turn(request, whole=True)) as events:
            async for event in events:
                if not isinstance(event, Delta):
                    return event
        raise AssertionError("a stream ends with a reply")

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Deltas that every rail has cleared, then exactly one reply whose text they join to. Raises GuardrailError."""
        async with aclosing(self._turn(request)) as events:
            async for event in events:
                yield event

    async def _turn(self, request: Request, *, whole: bool = False) -> AsyncGenerator[Event, None]:
        clock = _Clock()
        step: Question | Evidence | Reply = await self.screen(request)
        clock.lap("screen")
        if isinstance(step, Question):
            step = await self.retrieve(step)
            clock.lap("retrieve")
        if isinstance(step, Evidence):
            async with aclosing(self.answer(step, clock, whole=whole)) as events:
                async for event in events:
                    yield event
            return
        if isinstance(step, Question):
            raise AssertionError("retrieve returns evidence or a reply")
        yield Delta(text=step.text)
        yield replace(step, timings=clock.timings())

    async def screen(self, request: Request) -> Question | Refusal | Smalltalk:
        """Request to Question: limits, blank and greeting, then the input rails and the intent on the one encoding."""
        persona = self.persona(request)
        reading = await self.read(request)
        said, verdicts = reading.said, reading.verdicts
        if reading.courtesy is not None:
            return Smalltalk(request=request, text=persona.line(reading.courtesy, said), verdicts=verdicts)
        if any(verdict.decision == "block" and enforced(verdict) for verdict in verdicts):
            return Refusal(request=request, text=persona.line("refusal", said), verdicts=verdicts)
        intent = reading.intent
        if intent is not None and intent.label in {"greeting", "smalltalk"} and reading.text == said:
            return Smalltalk(request=request, text=persona.line(intent.label, said), verdicts=verdicts)
        return Question(request=request, text=reading.text, intent=intent, encoding=reading.encoding, verdicts=verdicts)

    async def read(self, request: Request) -> Reading:
        """What the request says, and what every input rail says of it. Raises InvalidRequest."""
        check_request(request, self.settings.limits)
        said = plain(request.text)
        kind = courtesy(said, self._names)
        if kind is not None:
            label = "greeting" if kind in {"blank", "greeting"} else "smalltalk"
            line = "smalltalk" if kind == "pleasantry" else kind
            return Reading(said=said, text=said, courtesy=line, intent=Intent(label=label, score=1.0))
        text = plain(conversation.standalone(request.messages))
        encoding = await self.encode(text)
        verdicts = await _check_all(self.parts.input_rails, Screening(request=request, text=text, encoding=encoding))
        intent = self.parts.intent.classify(encoding) if self.parts.intent and encoding else None
        return Reading(said=said, text=text, encoding=encoding, intent=intent, verdicts=verdicts)

    async def retrieve(self, question: Question) -> Evidence | Abstention:
        """Question to Evidence: the passages, if they answer the question."""
        persona = self.persona(question.request)
        if self.parts.retriever is None or question.encoding is None:
            return Evidence(question=question, hits=(), verdicts=question.verdicts)
        library = self.settings.library
        query = Query(encoding=question.encoding, persona=persona.id, works=question.request.works, k=library.passages, token_budget=library.token_budget)
        evidence = Evidence(question=question, hits=await self.parts.retriever.retrieve(query), verdicts=question.verdicts)
        verdicts = evidence.verdicts + await _check_all(self.parts.retrieval_rails, evidence)
        if not evidence.hits or any(enforced(verdict) for verdict in verdicts[len(evidence.verdicts) :]):
            return Abstention(question=question, text=self._unknown(persona, question), verdicts=verdicts)
        return replace(evidence, verdicts=verdicts)

    async def answer(self, evidence: Evidence, clock: _Clock, *, whole: bool = False) -> AsyncGenerator[Event, None]:
        """Evidence to Answer, Abstention or Refusal: write a draft and verify it as it comes; fall back to quotation where nothing of it holds.

        `whole` says that nobody looks at the deltas.
        """
        request = evidence.question.request
        persona = self.persona(request)
        prompt = Prompt(
            messages=self.parts.template.render(persona=persona, evidence=evidence),
            evidence=evidence,
            sampling=self._sampling(request.sampling),
            template=self.parts.template.reference,
            # A judge works on the first sentences while the next are written; without one, reading a draft piece by piece only costs time.
            stream=not whole or self.parts.judge is not None,
        )
        verdicts = evidence.verdicts
        for generator in (self.parts.generator, self.parts.fallback):
            if generator is None:
                continue
            frontier = Frontier(evidence, judge=self.parts.judge.judge if self.parts.judge else None, text_checks=self._text_checks)
            usage: Usage | None = None
            async with aclosing(_written(generator, prompt, self.parts.template.hidden)) as chunks:
                async for chunk in chunks:
                    clock.lap("write")
                    usage = chunk.usage or usage
                    cleared = await frontier.push(chunk.text, final=chunk.finish_reason is not None)
                    clock.lap("verify")
                    if cleared:
                        yield Delta(text=cleared)
                    if frontier.blocked or frontier.not_found:
                        break
            verdicts += tuple(frontier.verdicts)
            if frontier.blocked:
                apology = ("\n\n" if frontier.released else "") + persona.line("refusal", request.text)
                yield Delta(text=apology)
                yield Refusal(request=request, text=frontier.released + apology, verdicts=verdicts, generator=generator.name, timings=clock.timings())
                return
            if frontier.not_found:
                break
            if frontier.supported and frontier.released.strip():
                draft = Draft(evidence=evidence, text=frontier.draft, generator=generator.name, usage=usage)
                yield Answer(
                    draft=draft,
                    text=frontier.released,
                    citations=tuple(frontier.citations),
                    sentences=tuple(frontier.sentences),
                    verdicts=verdicts,
                    generator=generator.name,
                    timings=clock.timings(),
                )
                return
        text = self._unknown(persona, evidence.question)
        yield Delta(text=text)
        yield Abstention(question=evidence.question, text=text, verdicts=verdicts, timings=clock.timings())

    async def encode(self, text: str) -> Encoding | None:
        """The one encoding of the turn, or None where nothing needs it."""
        encoder = self.parts.encoder
        if encoder is None:
            return None
        return (await asyncio.get_running_loop().run_in_executor(self.parts.pool, encoder.encode, (text,)))[0]

    def persona(self, request: Request) -> Persona:
        """The persona the request names. Raises UnknownModel."""
        try:
            return self.parts.personas[request.persona]
        except KeyError:
            known = ", ".join(sorted(self.parts.personas))
            raise UnknownModel(f"There is no persona of that name; the personas are: {known}.", param="model") from None

    def _unknown(self, persona: Persona, question: Question) -> str:
        outside = question.intent is not None and question.intent.label == "out_of_scope"
        return persona.line("out_of_field" if outside else "unknown", question.text)

    def _sampling(self, asked: Sampling) -> Sampling:
        chosen = self.settings.generator
        return Sampling(
            temperature=chosen.temperature if asked.temperature is None else asked.temperature,
            top_p=chosen.top_p if asked.top_p is None else asked.top_p,
            max_tokens=chosen.max_tokens if asked.max_tokens is None else min(asked.max_tokens, chosen.max_tokens),
            stop=asked.stop,
            seed=asked.seed,
        )


async def _written(generator: Generator, prompt: Prompt, hidden: str | None) -> AsyncGenerator[Chunk, None]:
    """The generator's chunks without its reasoning; the last one has a finish reason."""
    visible = ReasoningFilter(*([hidden] if hidden else []))
    async with aclosing(generator.generate(prompt)) as chunks:
        async for chunk in chunks:
            final = chunk.finish_reason is not None
            text = visible.push(chunk.text, final=final)
            yield chunk if text == chunk.text else replace(chunk, text=text)
            if final:
                return
    yield Chunk(text=visible.push("", final=True), finish_reason="stop")


async def _check_all(rails: tuple[EnforcedRail, ...], subject: object) -> tuple[Verdict, ...]:
    """Every rail's verdict on the subject. Rails that read different things run side by side."""
    if not rails:
        return ()
    if len(rails) == 1:
        return (await rails[0].check(subject),)
    return tuple(await asyncio.gather(*(rail.check(subject) for rail in rails)))


class _Clock:
    """Adds up where a turn's time went."""

    __slots__ = ("_laps", "_last", "_started")

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self._laps[step] = self._laps.get(step, 0.0) + (now - self._last) * 1000
        self._last = now

    def timings(self) -> Timings:
        return Timings(**self._laps, total=(time.perf_counter() - self._started) * 1000)
