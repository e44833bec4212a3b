"""A working `Guardrail` from settings: what an app holds, in async and in plain code."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import msgspec

from guardrail import parts
from guardrail import settings as settings_module
from guardrail.chat import Chat
from guardrail.errors import GuardrailError, LibraryError
from guardrail.protocols import Claim, Query
from guardrail.rails.limits import plain
from guardrail.sentences import spans
from guardrail.types import Check, Evidence, Hit, Message, Passage, Question, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence
    from pathlib import Path

    from guardrail.protocols import Generator
    from guardrail.settings import Settings
    from guardrail.types import Decision, Event, Reply, Sentence, Verdict

T = TypeVar("T")

_GRAVITY: tuple[Decision, ...] = ("pass", "modify", "abstain", "block")


class Guardrail:
    """A chat behind rails. Made by `from_config` or `default`.

    Used from async code (`reply`, `stream`) or from plain code (`ask`, `check_input`, `check_output`). Models load on the first use, or when `start` is
    awaited. `close` (or `aclose`) gives everything back. Safe to share between threads.
    """

    def __init__(self, settings: Settings, *, generator: Generator | None = None) -> None:
        """`generator` takes the place of the configured one. Raises ConfigurationError."""
        self.settings = settings
        self.personas = parts.choose_personas(settings)
        self.template = parts.choose_template(settings)
        self._generator = generator
        parts.check_rails(settings)
        self._pool = ThreadPoolExecutor(max_workers=settings.workers, thread_name_prefix="guardrail")
        self._starting = threading.Lock()
        self._opening = threading.Lock()
        self._chat: Chat | None = None
        self._failure: GuardrailError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def default(cls) -> Guardrail:
        """The embedded default: the built-in library, quotation, every default rail; no file, no network."""
        return cls(settings_module.load(None))

    @classmethod
    def from_config(cls, path: str | Path | None = None) -> Guardrail:
        """As the YAML file at `path` says; with None, the default. Raises ConfigurationError with file and line."""
        return cls(settings_module.load(path))

    @property
    def ready(self) -> bool:
        """Whether everything is loaded and every rail has passed its self-test."""
        return self._chat is not None

    @property
    def failure(self) -> GuardrailError | None:
        """Why the last start failed, if it did."""
        return self._failure

    @property
    def config_hash(self) -> str:
        """SHA-256 over the settings, the persona cards and the template, cut to 16 digits. Keys and passwords do not enter it."""
        parts = [_public(self.settings), *sorted(persona.hash for persona in self.personas.values()), self.template.reference]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]

    # -- async --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the encoder, the library, the rails and the generator, and self-test them. Does nothing the second time. Raises GuardrailError."""
        if self._chat is not None:
            return
        turn = asyncio.get_running_loop().run_in_executor(None, self._starting.acquire)
        try:
            await asyncio.shield(turn)
        except asyncio.CancelledError:
            turn.add_done_callback(lambda _: self._starting.release())
            raise
        try:
            if self._chat is None:
                self._chat = await self._started_chat()
            self._failure = None
        except GuardrailError as error:
            self._failure = error
            raise
        finally:
            self._starting.release()

    async def reply(self, message: str | Request, *, persona: str = "plato", history: Sequence[Message] = (), sampling: Sampling | None = None) -> Reply:
        """The whole reply to `message`. Raises GuardrailError; a refusal is a value."""
        chat = await self._started()
        return await chat.reply(_request(message, persona, history, sampling))

    async def stream(
        self, message: str | Request, *, persona: str = "plato", history: Sequence[Message] = (), sampling: Sampling | None = None
    ) -> AsyncGenerator[Event, None]:
        """Deltas that every rail has cleared, then exactly one reply whose text they join to. Raises GuardrailError."""
        chat = await self._started()
        events = chat.stream(_request(message, persona, history, sampling))
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

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
        reading = await chat.read(Request(id=uuid4().hex, persona=next(iter(self.personas)), messages=messages))
        return Check(decision=_gravest(reading.verdicts), intent=reading.intent, verdicts=reading.verdicts)

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
        return Check(decision=_gravest(verdicts), intent=intent, verdicts=tuple(verdicts), sentences=tuple(sentences))

    async def _evidence(self, chat: Chat, question: str, passages: Sequence[str]) -> Evidence:
        """Texts given by a caller as if they had been retrieved."""
        request = Request(id=uuid4().hex, persona=next(iter(self.personas)), messages=(Message(role="user", content=question),))
        encodings = [await chat.encode(plain(text)) for text in (question, *passages)]
        hits = tuple(
            Hit(
                passage=Passage(id=str(number), source_id=str(number), title="", work="", locator="", persona="", text=text, start=0, end=len(text)),
                score=1.0,
                dense=1.0,
                late=1.0,
                coverage=1.0,
                tokens=encoding.tokens,
            )
            for number, (text, encoding) in enumerate(zip(passages, encodings[1:], strict=True))
            if encoding is not None
        )
        return Evidence(question=Question(request=request, text=question, encoding=encodings[0]), hits=hits)

    async def aclose(self) -> None:
        """Give back models, threads and connections."""
        chat, self._chat = self._chat, None
        if chat is not None:
            await parts.give_back(chat.parts)
        self._pool.shutdown(wait=False)

    # -- plain --------------------------------------------------------------------------------------------------

    def ask(self, message: str | Request, *, persona: str = "plato", history: Sequence[Message] = (), sampling: Sampling | None = None) -> Reply:
        """`reply` for code without an event loop; it runs on a loop of its own, in its own thread."""
        return self._run(self.reply(message, persona=persona, history=history, sampling=sampling))

    def retrieve(self, text: str, *, persona: str | None = None, works: Sequence[str] = (), k: int = 5) -> tuple[Hit, ...]:
        """`aretrieve` for code without an event loop."""
        return self._run(self.aretrieve(text, persona=persona, works=works, k=k))

    def check_input(self, message: str | Sequence[Message]) -> Check:
        """`acheck_input` for code without an event loop."""
        return self._run(self.acheck_input(message))

    def check_output(self, text: str, *, passages: Sequence[str] = (), question: str = "") -> Check:
        """`acheck_output` for code without an event loop."""
        return self._run(self.acheck_output(text, passages=passages, question=question))

    def close(self) -> None:
        """`aclose` for code without an event loop."""
        self._run(self.aclose())
        with self._opening:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, done on the loop that plain code shares."""
        with self._opening:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: a script that forgets to close may still end.
                threading.Thread(target=_run_forever, args=(self._loop,), name="guardrail-loop", daemon=True).start()
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    # -- loading ------------------------------------------------------------------------------------------------

    async def _started(self) -> Chat:
        if self._chat is None:
            await self.start()
        assert self._chat is not None
        return self._chat

    async def _started_chat(self) -> Chat:
        """A chat whose rails and generator have passed their self-tests."""
        load = partial(parts.load, self.settings, personas=self.personas, template=self.template, pool=self._pool, generator=self._generator)
        loaded = await asyncio.get_running_loop().run_in_executor(None, load)
        try:
            for rail in (*loaded.input_rails, *loaded.retrieval_rails, *loaded.output_rails):
                await rail.rail.warm_up()
            if loaded.judge is not None:
                await loaded.judge.warm_up()
            await loaded.generator.warm_up()
        except BaseException:
            await parts.give_back(loaded)
            raise
        return Chat(loaded, self.settings)


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _request(message: str | Request, persona: str, history: Sequence[Message], sampling: Sampling | None) -> Request:
    if isinstance(message, Request):
        return message
    messages = (*history, Message(role="user", content=message))
    return Request(id=uuid4().hex, persona=persona, messages=messages, sampling=sampling or Sampling())


def _gravest(verdicts: Sequence[Verdict]) -> Decision:
    """The gravest decision among the verdicts that are enforced."""
    return max((verdict.decision for verdict in verdicts if verdict.mode == "enforce"), key=_GRAVITY.index, default="pass")


def _moved(verdict: Verdict, by: int) -> Verdict:
    """The verdict on a sentence, its findings placed in the whole text."""
    return replace(verdict, findings=tuple(replace(finding, start=finding.start + by, end=finding.end + by) for finding in verdict.findings))


def _public(settings: Settings) -> Any:
    """The settings as plain values, without what is secret."""
    values = msgspec.to_builtins(settings)
    values["generator"]["api_key"] = None
    values["server"]["api_keys"] = len(settings.server.api_keys)
    if values["library"]["vector_store"]:
        values["library"]["vector_store"]["arguments"] = sorted(values["library"]["vector_store"]["arguments"])
    return values
