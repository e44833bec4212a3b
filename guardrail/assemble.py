"""A working `Guardrail` from settings: what an app holds, in async and in plain code."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from uuid import uuid4

import numpy as np

from guardrail import parts
from guardrail import settings as settings_module
from guardrail.chat import Chat
from guardrail.deployment import Deployment
from guardrail.dialogue import check, dialogue
from guardrail.enforcement import masks
from guardrail.errors import GuardrailError, LibraryError
from guardrail.protocols import Claim, Clearing, Query
from guardrail.rails.limits import plain
from guardrail.rails.sentiment import SentimentRail
from guardrail.reading import check_all
from guardrail.sentences import spans
from guardrail.types import Check, Delta, Evidence, Hit, Message, Passage, Question, Request, Sampling, Sentiment, SentimentLabel, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence

    from numpy.typing import NDArray

    from guardrail.dialogue import DialogueRequest
    from guardrail.prompts import Persona, Template
    from guardrail.protocols import Generator
    from guardrail.settings import Settings
    from guardrail.types import Decision, DialogueEvent, Event, Reply, Sentence, Verdict

T = TypeVar("T")

_NO_TOKENS = np.zeros((0, 0), np.float32)
_GRAVITY: tuple[Decision, ...] = ("pass", "modify", "abstain", "block")


class Guardrail:
    """A chat behind rails. Made by `from_config` or `default`.

    Used from async code (`reply`, `stream`) or from plain code (`ask`, `check_input`, `check_output`). Models load on the first use, or when `start` is
    awaited. `close` (or `aclose`) gives everything back. Safe to share between threads.
    """

    def __init__(self, settings: Settings, *, generator: Generator | None = None, source: Path | None = None) -> None:
        """`generator` takes the place of the configured one; `source` is the file that `reload` reads. Raises ConfigurationError."""
        self._deployed = Deployment.of(settings, given=generator is not None)
        self._source = source
        self._generator = generator
        self._pool = ThreadPoolExecutor(max_workers=settings.workers, thread_name_prefix="guardrail")
        self._starting = threading.Lock()
        self._opening = threading.Lock()
        self._failure: GuardrailError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def default(cls) -> Guardrail:
        """The embedded default: the built-in library, the model that we ship, every default rail; no file, no network."""
        return cls(settings_module.load(None))

    @classmethod
    def from_config(cls, path: str | Path | None = None) -> Guardrail:
        """As the YAML file at `path` says; with None, the default. Raises ConfigurationError with file and line."""
        return cls(settings_module.load(path), source=None if path is None else Path(path))

    @property
    def settings(self) -> Settings:
        """What the deployment chose."""
        return self._deployed.settings

    @property
    def personas(self) -> dict[str, Persona]:
        """Who may be talked with, by id."""
        return self._deployed.personas

    @property
    def template(self) -> Template:
        """The system template that the generator is asked with."""
        return self._deployed.template

    @property
    def ready(self) -> bool:
        """Whether everything is loaded and every rail has passed its self-test."""
        return self._deployed.chat is not None

    @property
    def failure(self) -> GuardrailError | None:
        """Why the last start failed, if it did."""
        return self._failure

    @property
    def config_hash(self) -> str:
        """SHA-256 over the settings, the persona cards and the template, cut to 16 digits. Keys and passwords do not enter it."""
        return self._deployed.config_hash

    # -- async --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the encoder, the library, the rails and the generator, and self-test them. Does nothing the second time. Raises GuardrailError."""
        if self._deployed.chat is not None:
            return
        await self._take_turn()
        try:
            if self._deployed.chat is None:
                self._deployed.chat = await self._started_chat()
            self._failure = None
        except GuardrailError as error:
            self._failure = error
            raise
        finally:
            self._starting.release()

    async def reload(self, settings: Settings | None = None) -> None:
        """Go over to `settings`, or to what the configuration file says now, without losing a turn.

        The new rails, personas and models are loaded and self-tested beside the old ones, which finish the turns they have begun and are then given back;
        what did not change is used on. Where anything is wrong, GuardrailError is raised and the old ones stay. The `server` part and `workers` need a
        restart.
        """
        settings = settings or settings_module.load(self._source)
        deployed = Deployment.of(settings, given=self._generator is not None)
        await self._take_turn()
        try:
            before = self._deployed
            if before.chat is not None:
                deployed.chat = await self._started_chat(deployed, before)
            self._deployed = deployed
        finally:
            self._starting.release()
        before.successor = deployed
        await before.give_back_if_idle()

    async def _take_turn(self) -> None:
        """Wait until nobody else loads anything."""
        turn = asyncio.get_running_loop().run_in_executor(None, self._starting.acquire)
        try:
            await asyncio.shield(turn)
        except asyncio.CancelledError:
            turn.add_done_callback(lambda _: self._starting.release())
            raise

    async def reply(self, message: str | Request, *, persona: str = "plato", history: Sequence[Message] = (), sampling: Sampling | None = None) -> Reply:
        """The whole reply to `message`. Raises GuardrailError; a refusal is a value."""
        asked = _request(message, persona, history, sampling)
        async with self._turn(asked) as deployed:
            reply = await deployed.running.reply(asked)
            deployed.log(reply)
        return reply

    async def stream(
        self, message: str | Request, *, persona: str = "plato", history: Sequence[Message] = (), sampling: Sampling | None = None
    ) -> AsyncGenerator[Event, None]:
        """Deltas that every rail has cleared, then exactly one reply whose text they join to. Raises GuardrailError."""
        asked = _request(message, persona, history, sampling)
        async with self._turn(asked) as deployed, aclosing(deployed.running.stream(asked)) as events:
            async for event in events:
                if not isinstance(event, Delta):
                    deployed.log(event)
                yield event

    async def dialogue(self, asked: DialogueRequest) -> AsyncGenerator[DialogueEvent, None]:
        """Personas in conversation: for each turn its deltas, then the turn. Raises GuardrailError; see `guardrail.dialogue`."""
        check(asked, personas=self.personas, limits=self.settings.limits)
        async with self._turn(_request(asked.topic, ", ".join(asked.between), (), None)) as deployed, aclosing(dialogue(deployed.running, asked)) as events:
            async for event in events:
                if isinstance(event, Turn):
                    deployed.log(event.reply)
                yield event

    async def aretrieve(self, text: str, *, persona: str | None = None, works: Sequence[str] = (), k: int = 5) -> tuple[Hit, ...]:
        """The passages nearest to `text`, best first. Raises LibraryError where the deployment has no library."""
        chat = await self._started()
        encoding = await chat.encode(plain(text))
        if chat.parts.retriever is None or encoding is None:
            raise LibraryError("This deployment runs without a library: set library.index to have passages.")
        budget = max(self.settings.library.token_budget, 256 * k)
        return await chat.parts.retriever.retrieve(Query(encoding=encoding, persona=persona, works=tuple(works), k=k, token_budget=budget))

    async def aworks(self, *, persona: str | None = None) -> tuple[str, ...]:
        """Titles of the works that `persona` may answer from. Raises LibraryError where there is no library, or one that keeps no list of them."""
        chat = await self._started()
        works = getattr(chat.parts.retriever, "works", None)
        if works is None:
            raise LibraryError("This deployment has no library of its own, so there is no list of works.")
        return tuple(await asyncio.get_running_loop().run_in_executor(self._pool, works, persona))

    async def acheck_input(self, message: str | Sequence[Message]) -> Check:
        """What the input rails say of a message or a conversation. Raises InvalidRequest."""
        chat = await self._started()
        messages = (Message(role="user", content=message),) if isinstance(message, str) else tuple(message)
        request = Request(id=uuid4().hex, persona=next(iter(self.personas)), messages=messages)
        reading = await chat.read(request, chat.parts, every=True)
        return Check(
            decision=_gravest(reading.verdicts),
            intent=reading.intent,
            sentiment=_sentiment(reading.verdicts),
            verdicts=reading.verdicts,
            masks=masks(chat.parts.input_rails, reading.verdicts),
        )

    async def acheck_output(self, text: str, *, passages: Sequence[str] = (), question: str = "") -> Check:
        """What the output rails say of an answer to `question`, sentence by sentence against `passages`."""
        chat = await self._started()
        evidence = await self._evidence(chat, question, passages)
        intent = chat.parts.intent.classify(evidence.question.encoding) if chat.parts.intent and question.strip() and evidence.question.encoding else None
        verdicts = [await rail.check(Claim(evidence=evidence, text=text)) for rail in chat.parts.output_rails]
        sentences: list[Sentence] = []
        if chat.parts.judge is not None:
            for start, end in spans(text):
                judgement = await chat.parts.judge.judge(Claim(evidence=evidence, text=text[start:end]))
                verdicts.append(_moved(judgement.verdict, start))
                sentences.append(replace(judgement.sentence, start=start, end=end))
        return Check(
            decision=_gravest(verdicts),
            intent=intent,
            sentiment=_sentiment(verdicts),
            verdicts=tuple(verdicts),
            sentences=tuple(sentences),
            masks=masks(chat.parts.output_rails, verdicts),
        )

    async def acheck_passage(self, text: str) -> Check:
        """What the retrieval rails say of a text that a model is to read, e.g. a document or what a tool gave: whether it gives the model orders.

        Rails that hold passages against a question are left out.
        """
        chat = await self._started()
        rails = tuple(rail for rail in chat.parts.retrieval_rails if "encoding" not in rail.rail.needs)
        question = Question(request=_request("", next(iter(self.personas)), (), None), text="")
        verdicts = await check_all(rails, Evidence(question=question, hits=(_hit(0, text, _NO_TOKENS),)), chat.settings.rails_budget_ms)
        return Check(decision=_gravest(verdicts), intent=None, verdicts=verdicts)

    async def aclear(self, text: str) -> int:
        """How far a reply that may go on after `text` is cleared by every output rail that is enforced: what follows may still be forbidden."""
        chat = await self._started()
        enforced = [rail.rail for rail in chat.parts.output_rails if rail.enforced]
        claim = Claim(evidence=Evidence(question=Question(request=_request("", next(iter(self.personas)), (), None), text=""), hits=()), text=text)
        return max(0, min((rail.clear(claim) if isinstance(rail, Clearing) else len(text) - rail.reach for rail in enforced), default=len(text)))

    async def _evidence(self, chat: Chat, question: str, passages: Sequence[str]) -> Evidence:
        """Texts given by a caller as if they had been retrieved."""
        request = Request(id=uuid4().hex, persona=next(iter(self.personas)), messages=(Message(role="user", content=question),))
        # Passages as they are: the rail looks up where their tokens stand.
        encodings = [await chat.encode(text) for text in (plain(question), *passages)]
        hits = tuple(
            _hit(number, text, _NO_TOKENS if encoding is None else encoding.tokens)
            for number, (text, encoding) in enumerate(zip(passages, encodings[1:], strict=True))
        )
        return Evidence(question=Question(request=request, text=question, encoding=encodings[0]), hits=hits)

    async def aclose(self) -> None:
        """Give back models, threads and connections."""
        chat, self._deployed.chat = self._deployed.chat, None
        if chat is not None:
            await parts.give_back(chat.parts)
        self._pool.shutdown(wait=False)

    # -- plain --------------------------------------------------------------------------------------------------

    def ask(self, message: str | Request, *, persona: str = "plato", history: Sequence[Message] = (), sampling: Sampling | None = None) -> Reply:
        """`reply` for code without an event loop; it runs on a loop of its own, in its own thread."""
        return self.run(self.reply(message, persona=persona, history=history, sampling=sampling))

    def retrieve(self, text: str, *, persona: str | None = None, works: Sequence[str] = (), k: int = 5) -> tuple[Hit, ...]:
        """`aretrieve` for code without an event loop."""
        return self.run(self.aretrieve(text, persona=persona, works=works, k=k))

    def check_input(self, message: str | Sequence[Message]) -> Check:
        """`acheck_input` for code without an event loop."""
        return self.run(self.acheck_input(message))

    def check_output(self, text: str, *, passages: Sequence[str] = (), question: str = "") -> Check:
        """`acheck_output` for code without an event loop."""
        return self.run(self.acheck_output(text, passages=passages, question=question))

    def check_passage(self, text: str) -> Check:
        """`acheck_passage` for code without an event loop."""
        return self.run(self.acheck_passage(text))

    def close(self) -> None:
        """`aclose` for code without an event loop."""
        self.run(self.aclose())
        with self._opening:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, for code without an event loop: done on a loop of its own, in its own thread, which all such calls share."""
        with self._opening:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: a script that forgets to close may still end.
                threading.Thread(target=_run_forever, args=(self._loop,), name="guardrail-loop", daemon=True).start()
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    # -- loading ------------------------------------------------------------------------------------------------

    async def chat(self) -> Chat:
        """What answers now, loaded. Whoever puts another library or other rails among its parts loads nothing twice; what it holds stays ours to close."""
        return await self._started()

    async def _started(self) -> Chat:
        if self._deployed.chat is None:
            await self.start()
        return self._deployed.running

    @asynccontextmanager
    async def _turn(self, request: Request) -> AsyncIterator[Deployment]:
        """The deployment that answers one turn from beginning to end; its failure is logged."""
        await self._started()
        deployed = self._deployed
        deployed.turns += 1
        try:
            yield deployed
        except GuardrailError as error:
            deployed.log_failure(request, error)
            raise
        finally:
            deployed.turns -= 1
            if deployed.successor is not None:
                await deployed.give_back_if_idle()

    async def _started_chat(self, deployed: Deployment | None = None, before: Deployment | None = None) -> Chat:
        """A chat whose rails and generator have passed their self-tests. What it shares with `before` is not loaded again."""
        deployed = deployed or self._deployed
        settings = deployed.settings
        load = partial(
            parts.load,
            settings,
            personas=deployed.personas,
            template=deployed.template,
            dialogue=deployed.dialogue,
            pool=self._pool,
            generator=self._generator,
            before=before.running.parts if before else None,
            before_settings=before.settings if before else None,
        )
        loaded = await asyncio.get_running_loop().run_in_executor(None, load)
        try:
            for rail in (*loaded.input_rails, *loaded.retrieval_rails, *loaded.output_rails):
                await rail.rail.warm_up()
            if loaded.judge is not None:
                await loaded.judge.warm_up()
            await loaded.generator.warm_up()
        except BaseException:
            await parts.give_back(loaded, but=before.running.parts if before else None)
            raise
        return Chat(loaded, settings)


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _request(message: str | Request, persona: str, history: Sequence[Message], sampling: Sampling | None) -> Request:
    if isinstance(message, Request):
        return message
    messages = (*history, Message(role="user", content=message))
    return Request(id=uuid4().hex, persona=persona, messages=messages, sampling=sampling or Sampling())


def _hit(number: int, text: str, tokens: NDArray[np.float32]) -> Hit:
    """A text given by a caller as if it had been retrieved."""
    passage = Passage(id=str(number), source_id=str(number), title="", work="", locator="", persona="", text=text, start=0, end=len(text))
    return Hit(passage=passage, score=1.0, dense=1.0, late=1.0, coverage=1.0, tokens=tokens)


def _gravest(verdicts: Sequence[Verdict]) -> Decision:
    """The gravest decision among the verdicts that are enforced."""
    return max((verdict.decision for verdict in verdicts if verdict.mode == "enforce"), key=_GRAVITY.index, default="pass")


def _sentiment(verdicts: Sequence[Verdict]) -> Sentiment | None:
    """What the sentiment rail says, if it runs."""
    for verdict in verdicts:
        if verdict.rail == SentimentRail.id:
            for finding in verdict.findings:
                for label in get_args(SentimentLabel):
                    if finding.type == label:
                        return Sentiment(label=label, score=finding.score, distress=verdict.score)
    return None


def _moved(verdict: Verdict, by: int) -> Verdict:
    """The verdict on a sentence, its findings placed in the whole text."""
    return replace(verdict, findings=tuple(replace(finding, start=finding.start + by, end=finding.end + by) for finding in verdict.findings))
