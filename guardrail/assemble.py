"""Settings into a working `Guardrail`: the one place that knows every part by name."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import msgspec

from guardrail import settings as settings_module
from guardrail.chat import Chat, Parts
from guardrail.enforcement import EnforcedRail, enforced
from guardrail.errors import ConfigurationError, GuardrailError, InvalidRequest, LibraryError
from guardrail.prompts import load_personas, load_templates
from guardrail.protocols import Claim, Query, Screening
from guardrail.rails.keywords import KeywordRail
from guardrail.rails.limits import check_request, plain
from guardrail.sentences import spans
from guardrail.types import Check, Encoding, Evidence, Hit, Message, Passage, Question, Request, Sampling, Sentence, Verdict

if TYPE_CHECKING:
    from anyio.abc import BlockingPortal

    from guardrail.prompts import Persona
    from guardrail.protocols import Encoder, Generator, IntentClassifier, Judge, Retriever
    from guardrail.settings import GeneratorSettings, RailSettings, Settings
    from guardrail.types import Decision, Event, Reply

T = TypeVar("T")

RAILS = ("intent", "answerable", "grounding", "keywords")
"""The rails a configuration may name."""
_GRAVITY: tuple[Decision, ...] = ("pass", "modify", "abstain", "block")


class Guardrail:
    """A chat behind rails. Made by `from_config` or `default`; used from async code (`reply`, `stream`) or from plain code (`ask`, `check_input`, `check_output`).

    Models load on the first use, or when `start` is awaited. `close` (or `aclose`) gives everything back. Safe to share between threads and requests.
    """

    def __init__(self, settings: Settings, *, generator: Generator | None = None) -> None:
        """`generator` takes the place of the configured one. Raises ConfigurationError."""
        self.settings = settings
        self.personas = _personas(settings)
        self._template = _template(settings)
        self._generator = generator
        self._check_rails()
        self._pool = ThreadPoolExecutor(max_workers=settings.workers, thread_name_prefix="guardrail")
        self._loading = threading.Lock()
        self._chat: Chat | None = None
        self._failure: GuardrailError | None = None
        self._portal: BlockingPortal | None = None
        self._leave_portal: Any = None

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
        parts = [_public(self.settings), *sorted(persona.hash for persona in self.personas.values()), self._template.reference]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]

    # -- async --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the encoder, the library, the rails and the generator, and self-test them. Does nothing the second time. Raises GuardrailError."""
        if self._chat is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            chat = await loop.run_in_executor(None, self._load)
            for rail in (*chat.parts.input_rails, *chat.parts.retrieval_rails, *chat.parts.output_rails):
                await rail.rail.warm_up()
            if chat.parts.judge is not None:
                await chat.parts.judge.warm_up()
            await chat.parts.generator.warm_up()
        except GuardrailError as error:
            self._failure = error
            raise
        self._failure = None
        self._chat = chat

    async def reply(self, message: str | Request, *, persona: str = "plato", history: Sequence[Message] = (), sampling: Sampling | None = None) -> Reply:
        """The whole reply to `message`. Raises GuardrailError; a refusal is a value."""
        chat = await self._started()
        return await chat.reply(_request(message, persona, history, sampling))

    async def stream(self, message: str | Request, *, persona: str = "plato", history: Sequence[Message] = (), sampling: Sampling | None = None) -> AsyncIterator[Event]:
        """Deltas that every rail has cleared, then exactly one reply whose text they join to. Raises GuardrailError."""
        chat = await self._started()
        events = chat.stream(_request(message, persona, history, sampling))
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined] # it is an async generator, which its declared type does not say

    async def aretrieve(self, text: str, *, persona: str | None = None, works: Sequence[str] = (), k: int = 5) -> tuple[Hit, ...]:
        """The passages nearest to `text`, best first. Raises LibraryError where the deployment has no library."""
        chat = await self._started()
        encoding = await chat.encode(plain(text))
        if chat.parts.retriever is None or encoding is None:
            raise LibraryError("This deployment runs without a library: set library.index to have passages.")
        budget = max(self.settings.library.token_budget, 256 * k)
        return await chat.parts.retriever.retrieve(Query(encoding=encoding, persona=persona, works=tuple(works), k=k, token_budget=budget))

    async def acheck_input(self, message: str | Sequence[Message]) -> Check:
        """What the input rails say of a message or a conversation. Raises InvalidRequest."""
        chat = await self._started()
        messages = (Message(role="user", content=message),) if isinstance(message, str) else tuple(message)
        request = Request(id=uuid4().hex, persona=next(iter(self.personas)), messages=messages)
        check_request(request, self.settings.limits)
        intent, verdicts = await chat.judge_input(request)
        return Check(decision=_gravest(verdicts), intent=intent, verdicts=verdicts)

    async def acheck_output(self, text: str, *, passages: Sequence[str] = (), question: str = "") -> Check:
        """What the output rails say of an answer, sentence by sentence against `passages`."""
        chat = await self._started()
        evidence = await _given_evidence(chat, question, passages)
        verdicts: list[Verdict] = []
        judged: list[Sentence] = []
        for rail in chat.parts.output_rails:
            verdicts.append(await rail.check(Claim(evidence=evidence, text=text)))
        if chat.parts.judge is not None:
            for start, end in spans(text):
                judgement = await chat.parts.judge.judge(Claim(evidence=evidence, text=text[start:end]))
                verdicts.append(judgement.verdict)
                judged.append(msgspec.structs.replace(judgement.sentence, start=start, end=end) if False else _moved(judgement.sentence, start, end))
        intent = chat.parts.intent.classify(evidence.question.encoding) if chat.parts.intent and question and evidence.question.encoding else None
        return Check(decision=_gravest(tuple(verdicts)), intent=intent, verdicts=tuple(verdicts), sentences=tuple(judged))

    async def aclose(self) -> None:
        """Give back models, threads and connections."""
        chat, self._chat = self._chat, None
        if chat is not None:
            await chat.parts.generator.aclose()
            if chat.parts.fallback is not None:
                await chat.parts.fallback.aclose()
            close = getattr(chat.parts.retriever, "close", None)
            if close is not None:
                close()
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
        with self._loading:
            leave, self._portal, self._leave_portal = self._leave_portal, None, None
        if leave is not None:
            leave(None, None, None)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - only plain code needs a loop of its own

        with self._loading:
            if self._portal is None:
                context = start_blocking_portal("asyncio", name="guardrail-loop")
                self._portal = context.__enter__()
                self._leave_portal = context.__exit__
            portal = self._portal

        async def run() -> T:
            return await work

        return portal.call(run)

    # -- loading ------------------------------------------------------------------------------------------------

    async def _started(self) -> Chat:
        if self._chat is None:
            await self.start()
        assert self._chat is not None
        return self._chat

    def _check_rails(self) -> None:
        for rail in self.settings.rails:
            if rail.id not in RAILS:
                raise ConfigurationError(f"rails: there is no rail '{rail.id}'; the rails are: {', '.join(RAILS)}.")
            if rail.id == "keywords":
                _keywords(rail)

    def _load(self) -> Chat:
        with self._loading:
            return self._chat or Chat(self._parts(), self.settings)

    def _parts(self) -> Parts:
        raise NotImplementedError
