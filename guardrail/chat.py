"""One turn: screen, retrieve, write, verify. Knows the protocols of its parts, and beside them only how people greet.

A stream and a whole reply are the same code: `reply` collects what `stream` yields.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from guardrail import conversation
from guardrail.declining import declines
from guardrail.drafting import again, written
from guardrail.enforcement import EnforcedJudge, EnforcedRail, check_wishes, enforced, tighten
from guardrail.errors import PromptTooLong, UnknownModel
from guardrail.faults import fault_verdict
from guardrail.frontier import Frontier, TextCheck
from guardrail.masking import mask, restored
from guardrail.protocols import Clearing, Prompt, Query
from guardrail.rails.courtesy import asks_of_the_past
from guardrail.rails.limits import plain
from guardrail.rails.salutation import salutation
from guardrail.rails.sentiment import DISTRESS, SentimentRail
from guardrail.reading import Reader, check_all
from guardrail.refusal import refused_for
from guardrail.settings import TEMPERATURE
from guardrail.types import Abstention, Answer, Delta, Draft, Evidence, Question, Refusal, Sampling, Smalltalk, Timings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from guardrail.faults import Fault
    from guardrail.prompts import HelpLines, Persona, Template
    from guardrail.protocols import Encoder, Generator, IntentClassifier, Retriever
    from guardrail.rails.salutation import Salutation
    from guardrail.rails.vault import Vault
    from guardrail.reading import Reading
    from guardrail.settings import Consequence, Settings
    from guardrail.types import Encoding, Event, Message, Reply, Request, Usage, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a turn is made of. `encoder` and `retriever` are None in a deployment without a library, `judge` where grounding is off."""

    personas: Mapping[str, Persona]
    template: Template
    dialogue: Template
    """What the generator is asked with where the turn answers another persona."""
    help_lines: HelpLines
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
    reads_safety: bool = False
    """Whether a rail reads the encoder's safety branch."""
    canary: str = ""
    """A marker in the system prompt, by which a reply that gives it away is known."""
    narrowed: Callable[[Evidence], Evidence] | None = None
    """What of the evidence a template with `excerpts` shows; None: all of it."""
    converses: bool = True
    """Whether the generator also writes the turns that answer another persona; else the fallback does, since that was no part of its training."""
    temperature: float = TEMPERATURE
    """Of the generator's sampling, where the request does not say."""

    @property
    def rails(self) -> tuple[EnforcedRail | EnforcedJudge, ...]:
        """All of them."""
        return (*self.input_rails, *self.retrieval_rails, *self.output_rails, *((self.judge,) if self.judge is not None else ()))

    def render(self, evidence: Evidence) -> tuple[Message, ...]:
        """The messages that a model is asked with."""
        question = evidence.question
        template = self.template_of(question)
        shown = self.narrowed(evidence) if template.excerpts and self.narrowed is not None else evidence
        return template.render(persona=self.personas[question.request.persona], evidence=shown, canary=self.canary)

    def template_of(self, question: Question) -> Template:
        """The template that it is asked with."""
        return self.template if question.heard is None else self.dialogue

    def tightened(self, request: Request) -> Parts:
        """The parts with the rails as `request` wants them. Raises InvalidRequest where it wants one looser, or one that does not run."""
        if not request.rails:
            return self
        check_wishes(self.rails, request.rails)
        return replace(
            self,
            input_rails=tighten(self.input_rails, request.rails),
            retrieval_rails=tighten(self.retrieval_rails, request.rails),
            output_rails=tighten(self.output_rails, request.rails),
            judge=tighten((self.judge,), request.rails)[0] if self.judge is not None else None,
        )


class Chat:
    """Answers requests. Holds no state between them."""

    def __init__(self, parts: Parts, settings: Settings) -> None:
        self.parts = parts
        self.settings = settings
        self._reader = Reader(
            limits=settings.limits,
            names=frozenset(word for persona in parts.personas.values() for word in (persona.id, *persona.name.lower().split())),
            encode=self._encode_all if parts.encoder is not None else None,
            intent=parts.intent,
            budget_ms=settings.rails_budget_ms,
        )
        self._text_checks = _text_checks(parts.output_rails)

    async def reply(self, request: Request) -> Reply:
        """The whole reply. Raises GuardrailError; a refusal is a value."""
        reply: Reply | None = None
        async with aclosing(self._turn(request, whole=True)) as events:
            async for event in events:
                reply = event if not isinstance(event, Delta) else None
        assert reply is not None, "a stream ends with a reply"
        return reply

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Deltas that every rail has cleared, then exactly one reply whose text they join to. Raises GuardrailError."""
        async with aclosing(self._turn(request)) as events:
            async for event in events:
                yield event

    async def _turn(self, request: Request, *, whole: bool = False) -> AsyncGenerator[Event, None]:
        clock = Clock()
        parts = self.parts.tightened(request)
        step: Question | Evidence | Reply = await self.screen(request, parts)
        clock.lap("screen")
        if isinstance(step, Question):
            question, step = step, await self.retrieve(step, parts)
            if isinstance(step, Abstention) and self._salutation(question.text, request, step.verdicts) is not None:
                step = Smalltalk(request=request, text=self.persona(request).line("greeting", question.text), verdicts=step.verdicts)
            clock.lap("retrieve")
        async with aclosing(self.finish(step, parts, clock, whole=whole)) as events:
            async for event in events:
                yield event

    async def finish(self, step: Evidence | Reply, parts: Parts, clock: Clock, *, whole: bool = False) -> AsyncGenerator[Event, None]:
        """The rest of a turn that has come as far as `step`: deltas, then exactly one reply. Raises GuardrailError."""
        if isinstance(step, Evidence):
            answered = self.answer(step, parts, clock, whole=whole)
            async with aclosing(restored(answered, step.question.vault) if step.question.vault else answered) as events:
                async for event in events:
                    yield event
            return
        yield Delta(text=step.text)
        yield replace(step, timings=clock.timings())

    async def screen(self, request: Request, parts: Parts, *, topic: bool = False) -> Question | Refusal | Smalltalk:
        """Request to Question: limits, blank and greeting, then the input rails and the intent on the one encoding.

        `topic` says that the message only names what is to be talked about: the intent of a single word ("pleasure") is easily taken for small talk.
        """
        persona = self.persona(request)
        reading = await self.read(request, parts)
        said, verdicts = reading.said, reading.verdicts
        if any(verdict.decision == "block" and enforced(verdict) for verdict in verdicts):
            return Refusal(request=request, text=self._refusal(persona, request, verdicts), verdicts=verdicts)
        if reading.courtesy is not None:
            return Smalltalk(request=request, text=persona.line(reading.courtesy, said), verdicts=verdicts)
        intent = reading.intent
        if not topic and reading.text == said:
            if intent is not None and intent.label in {"greeting", "smalltalk"} and not asks_of_the_past(said):
                return Smalltalk(request=request, text=persona.line(intent.label, said), verdicts=verdicts)
            if self._salutation(said, request, verdicts) == "plain":
                return Smalltalk(request=request, text=persona.line("greeting", said), verdicts=verdicts)
        vault: Vault | None = None
        if any(verdict.decision == "modify" and enforced(verdict) for verdict in verdicts):
            request, vault = mask(request, parts.input_rails)
        text = plain(conversation.standalone(request.messages)) if vault is not None else reading.text
        return Question(request=request, text=text, intent=intent, encoding=reading.encoding, verdicts=verdicts, vault=vault)

    def _salutation(self, said: str, request: Request, verdicts: Iterable[Verdict]) -> Salutation | None:
        """How the message greets, where it does, asks for nothing and is not in low spirits."""
        low = any(finding.type in {"negative", DISTRESS} for verdict in verdicts if verdict.rail == SentimentRail.id for finding in verdict.findings)
        first = sum(message.role == "user" for message in request.messages) == 1
        return None if low else salutation(said, self._reader.names, first=first)

    async def read(self, request: Request, parts: Parts, *, every: bool = False) -> Reading:
        """What the request says, and what the input rails say of it; see `Reader.read`."""
        return await self._reader.read(request, parts.input_rails, every=every)

    async def retrieve(self, question: Question, parts: Parts) -> Evidence | Abstention | Refusal:
        """Question to Evidence: the passages, if they answer the question, without those that a rail rejects."""
        persona = self.persona(question.request)
        if parts.retriever is None or question.encoding is None:
            return Evidence(question=question, hits=(), verdicts=question.verdicts)
        library, request = self.settings.library, question.request
        query = Query(
            encoding=question.encoding,
            persona=persona.id,
            works=request.works,
            exclude=request.exclude,
            k=library.passages,
            token_budget=library.token_budget,
        )
        evidence = Evidence(question=question, hits=await parts.retriever.retrieve(query), verdicts=question.verdicts)
        found = await check_all(parts.retrieval_rails, evidence, self.settings.rails_budget_ms)
        verdicts = evidence.verdicts + found
        if any(verdict.decision == "block" and enforced(verdict) for verdict in found):
            return Refusal(request=request, text=self._refusal(persona, request, found), verdicts=verdicts)
        rejected = {finding.passage for verdict in found if verdict.decision == "modify" and enforced(verdict) for finding in verdict.findings}
        hits = tuple(hit for hit in evidence.hits if hit.passage.id not in rejected)
        if not hits or any(verdict.decision == "abstain" and enforced(verdict) for verdict in found):
            return Abstention(question=question, text=self._unknown(persona, question), verdicts=verdicts)
        return replace(evidence, hits=hits, verdicts=verdicts)

    async def answer(self, evidence: Evidence, parts: Parts, clock: Clock, *, whole: bool = False) -> AsyncGenerator[Event, None]:
        """Evidence to Answer, Abstention or Refusal: write a draft and verify it as it comes.

        Where the prompt is too long for the model, it is asked with fewer passages. A draft that goes wrong before anything of it was shown is written once
        more, sampled otherwise, or with a word on what was wrong where a rail asks for that; then the fallback writes, where there is one.

        `whole` says that nobody looks at the deltas.
        """
        request = evidence.question.request
        persona = self.persona(request)
        judge, unsupported = parts.judge, self._unsupported(persona, parts)
        text_checks = self._text_checks if parts is self.parts else _text_checks(parts.output_rails)
        prompt = Prompt(
            messages=parts.render(evidence),
            evidence=evidence,
            sampling=self._sampling(request.sampling),
            template=parts.template_of(evidence.question).reference,
            # A judge works on a model's first sentences while the next are written; where nothing is waited for, reading a draft piece by piece costs time.
            stream=not whole or (judge is not None and not getattr(parts.generator, "verbatim", False)),
            without_passages=self._without_passages(evidence, parts),
        )
        verdicts = evidence.verdicts
        attempts = [(parts.generator, prompt)] if parts.converses or evidence.question.heard is None else []
        second_chance = True
        if parts.fallback is not None:
            attempts.append((parts.fallback, replace(prompt, stream=not whole)))
        while attempts:
            generator, asked = attempts.pop(0)
            frontier = Frontier(evidence, judge=judge.judge if judge else None, text_checks=text_checks, unsupported=unsupported)
            usage: Usage | None = None
            fault: Fault | None = None
            try:
                async with aclosing(written(generator, asked, parts.template_of(evidence.question).hidden)) as pieces:
                    async for piece in pieces:
                        clock.lap("write")
                        usage = piece.usage or usage
                        fault = piece.fault
                        cleared = await frontier.push(piece.text, final=piece.final, broken=fault is not None and fault.breaks_sentence)
                        clock.lap("verify")
                        if cleared:
                            yield Delta(text=cleared)
                        if frontier.blocked or frontier.not_found:
                            break
            except PromptTooLong:
                attempts[:0] = [(generator, shorter) for shorter in _shorter(asked, parts)]
                if not attempts:
                    raise
                continue
            verdicts += tuple(frontier.verdicts)
            if fault is not None:
                verdicts += (fault_verdict(fault),)
            if frontier.blocked and frontier.consequence == "block":
                apology = ("\n\n" if frontier.released else "") + self._refusal(persona, request, (frontier.blocked,))
                yield Delta(text=apology)
                yield Refusal(request=request, text=frontier.released + apology, verdicts=verdicts, generator=generator.name, timings=clock.timings())
                return
            if _abstains(frontier):
                break
            if not frontier.blocked and frontier.supported and frontier.released.strip():
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
            if second_chance and generator is parts.generator and (fault is not None or frontier.consequence in {"retry", "rewrite"}):
                attempts.insert(0, (generator, again(prompt, rewrite=frontier.consequence == "rewrite")))
                second_chance = False
        text = self._unknown(persona, evidence.question)
        yield Delta(text=text)
        yield Abstention(question=evidence.question, text=text, verdicts=verdicts, timings=clock.timings())

    async def encode(self, text: str) -> Encoding | None:
        """The one encoding of a text, or None where nothing needs it."""
        return (await self._encode_all((text,)))[0] if self.parts.encoder is not None else None

    async def _encode_all(self, texts: Sequence[str]) -> list[Encoding]:
        assert self.parts.encoder is not None
        encode = partial(self.parts.encoder.encode, texts, safety=True) if self.parts.reads_safety else partial(self.parts.encoder.encode, texts)
        return await asyncio.get_running_loop().run_in_executor(self.parts.pool, encode)

    def persona(self, request: Request) -> Persona:
        """The persona the request names. Raises UnknownModel."""
        try:
            return self.parts.personas[request.persona]
        except KeyError:
            known = ", ".join(sorted(self.parts.personas))
            raise UnknownModel(f"There is no persona of that name; the personas are: {known}.", param="model") from None

    def _without_passages(self, evidence: Evidence, parts: Parts) -> tuple[Message, ...]:
        """The messages to contrast with, where the generator does that."""
        return parts.render(replace(evidence, hits=())) if self.settings.generator.context_aware and evidence.hits else ()

    def _refusal(self, persona: Persona, request: Request, verdicts: Iterable[Verdict]) -> str:
        """The persona's no, in the words for the gravest thing that was found; someone in distress is told where to turn."""
        kind = refused_for(verdicts)
        text = persona.line(kind, request.text)
        if kind == "self_harm":
            chosen = self.settings.help
            text += "\n\n" + self.parts.help_lines.text(request.country or chosen.country, chosen.lines)
        return text

    def _unsupported(self, persona: Persona, parts: Parts) -> Consequence:
        """What follows when the judge objects to a sentence of this persona."""
        if parts.judge is None:
            return "drop"
        return self.settings.personas.unsupported.get(persona.id) or parts.judge.consequence or "drop"

    def _unknown(self, persona: Persona, question: Question) -> str:
        if persona.lines.nothing_more and question.heard is not None and any(message.role == "assistant" for message in question.request.messages):
            return persona.line("nothing_more", question.text)
        outside = question.intent is not None and question.intent.label == "out_of_scope"
        return persona.line("out_of_field" if outside else "unknown", question.text)

    def _sampling(self, asked: Sampling) -> Sampling:
        chosen = self.settings.generator
        return Sampling(
            temperature=self.parts.temperature if asked.temperature is None else asked.temperature,
            top_p=chosen.top_p if asked.top_p is None else asked.top_p,
            max_tokens=chosen.max_tokens if asked.max_tokens is None else min(asked.max_tokens, chosen.max_tokens),
            stop=asked.stop,
            seed=asked.seed,
        )


def _abstains(frontier: Frontier) -> bool:
    """Whether the draft is to be followed by no answer: it says itself that there is none, or a rail wants it so."""
    if frontier.blocked:
        return frontier.consequence == "abstain"
    return frontier.not_found or (not frontier.supported and declines(frontier.draft))


def _shorter(prompt: Prompt, parts: Parts) -> tuple[Prompt, ...]:
    """The prompt without the last of its passages, or nothing where it has but one."""
    if len(prompt.evidence.hits) < 2:
        return ()
    evidence = replace(prompt.evidence, hits=prompt.evidence.hits[:-1])
    return (replace(prompt, messages=parts.render(evidence), evidence=evidence),)


def _text_checks(rails: Iterable[EnforcedRail]) -> tuple[TextCheck, ...]:
    return tuple(
        TextCheck(
            reach=rail.rail.reach,
            check=rail.check,
            clearing=rail.rail if isinstance(rail.rail, Clearing) else None,
            consequence=(rail.consequence or "block") if rail.enforced else "block",
            decide=rail.decide,
        )
        for rail in rails
    )


class Clock:
    """Adds up where a turn's time went, in milliseconds by step; it runs from when it is made."""

    __slots__ = ("_laps", "_last", "_started")

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, step: str) -> None:
        """What has passed since the last lap belongs to `step`, a field of Timings."""
        now = time.perf_counter()
        self._laps[step] = self._laps.get(step, 0.0) + (now - self._last) * 1000
        self._last = now

    def timings(self) -> Timings:
        return Timings(**self._laps, total=(time.perf_counter() - self._started) * 1000)
