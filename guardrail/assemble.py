"""Settings into a working `Guardrail`: the one place that knows every part by name."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import msgspec

from guardrail import settings as settings_module
from guardrail.chat import Chat, Parts
from guardrail.enforcement import EnforcedJudge, EnforcedRail
from guardrail.errors import ConfigurationError, GuardrailError, LibraryError
from guardrail.generate.quotation import Quotation
from guardrail.prompts import load_personas, load_templates
from guardrail.protocols import Claim, Query
from guardrail.rails.answerable import AnswerableRail
from guardrail.rails.grounding import GroundingRail
from guardrail.rails.intent import IntentHead, IntentRail
from guardrail.rails.keywords import KeywordRail
from guardrail.rails.limits import plain
from guardrail.sentences import spans
from guardrail.types import Check, Evidence, Hit, Message, Passage, Question, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence

    from anyio.from_thread import BlockingPortal

    from guardrail.prompts import Persona, Template
    from guardrail.protocols import Encoder, Generator, IntentClassifier, Retriever
    from guardrail.settings import GeneratorSettings, RailSettings, Settings
    from guardrail.types import Decision, Event, Reply, Sentence, Stage, Verdict

T = TypeVar("T")

STAGES: dict[str, Stage | None] = {"intent": "input", "answerable": "retrieval", "grounding": "output", "keywords": None}
"""The rails a configuration may name, and where each runs; `keywords` runs where it is told to."""
RAILS = tuple(STAGES)
_GRAVITY: tuple[Decision, ...] = ("pass", "modify", "abstain", "block")


class Guardrail:
    """A chat behind rails. Made by `from_config` or `default`.

    Used from async code (`reply`, `stream`) or from plain code (`ask`, `check_input`, `check_output`). Models load on the first use, or when `start` is
    awaited. `close` (or `aclose`) gives everything back. Safe to share between threads.
    """

    def __init__(self, settings: Settings, *, generator: Generator | None = None) -> None:
        """`generator` takes the place of the configured one. Raises ConfigurationError."""
        self.settings = settings
        self.personas = _personas(settings)
        self.template = _template(settings)
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
        parts = [_public(self.settings), *sorted(persona.hash for persona in self.personas.values()), self.template.reference]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]

    # -- async --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the encoder, the library, the rails and the generator, and self-test them. Does nothing the second time. Raises GuardrailError."""
        if self._chat is not None:
            return
        loop = asyncio.get_running_loop()
        chat: Chat | None = None
        try:
            chat = await loop.run_in_executor(None, self._load)
            for rail in (*chat.parts.input_rails, *chat.parts.retrieval_rails, *chat.parts.output_rails):
                await rail.rail.warm_up()
            if chat.parts.judge is not None:
                await chat.parts.judge.warm_up()
            await chat.parts.generator.warm_up()
        except GuardrailError as error:
            self._failure = error
            if chat is not None:
                await _give_back(chat.parts)
            raise
        self._failure = None
        self._chat = chat

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
            await _give_back(chat.parts)
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
        """Refuse a rail that does not exist or is configured wrongly before anything is loaded."""
        for rail in self.settings.rails:
            if rail.id not in RAILS:
                near = difflib.get_close_matches(rail.id, RAILS, n=1, cutoff=0.5)
                hint = f"did you mean '{near[0]}'?" if near else f"the rails are: {', '.join(RAILS)}."
                raise ConfigurationError(f"rails: there is no rail '{rail.id}'; {hint}")
            if rail.id == "keywords":
                _keywords(rail)
            elif rail.options:
                raise ConfigurationError(f"rails: '{rail.id}' has no options; remove {', '.join(sorted(rail.options))}.")
            elif rail.stage is not None and rail.stage != STAGES[rail.id]:
                raise ConfigurationError(f"rails: '{rail.id}' runs at the stage '{STAGES[rail.id]}', not '{rail.stage}'.")

    def _load(self) -> Chat:
        with self._loading:
            return self._chat or Chat(self._parts(), self.settings)

    def _parts(self) -> Parts:
        settings = self.settings
        encoder = self._encoder()
        retriever = self._retriever(encoder) if encoder is not None else None
        quotation = _quotation(self.personas, encoder, settings.generator) if retriever is not None else None
        intent: IntentClassifier | None = None
        judge: EnforcedJudge | None = None
        rails: dict[Stage, list[EnforcedRail]] = {"input": [], "retrieval": [], "output": []}
        for entry in settings.rails:
            if entry.id == "keywords":
                rail = _keywords(entry)
                rails[rail.stage].append(EnforcedRail(rail, entry))
            elif encoder is None or retriever is None:
                continue
            elif entry.id == "intent":
                intent = IntentHead.load(encoder)
                rails["input"].append(EnforcedRail(IntentRail(intent, encoder), entry))
            elif entry.id == "answerable":
                rails["retrieval"].append(EnforcedRail(AnswerableRail(encoder, threshold=entry.threshold), entry))
            else:
                judge = EnforcedJudge(
                    GroundingRail(encoder, pool=self._pool, threshold=entry.threshold, is_framing=quotation.is_framing if quotation else None), entry
                )
        generator = self._generator or _generator(settings.generator, quotation)
        return Parts(
            personas=self.personas,
            template=self.template,
            generator=generator,
            fallback=quotation if generator is not quotation else None,
            encoder=encoder,
            retriever=retriever,
            intent=intent,
            judge=judge,
            input_rails=tuple(rails["input"]),
            retrieval_rails=tuple(rails["retrieval"]),
            output_rails=tuple(rails["output"]),
            pool=self._pool,
        )

    def _encoder(self) -> Encoder | None:
        """The encoder, where there is a library to search; nothing else needs it."""
        if self.settings.library.index is None and self.settings.library.vector_store is None:
            return None
        from guardrail.index.encoder import MiniLM  # noqa: PLC0415 - loads onnxruntime

        return MiniLM()

    def _retriever(self, encoder: Encoder) -> Retriever:
        library = self.settings.library
        if library.vector_store is not None:
            from guardrail.index.langchain import LangChainRetriever  # noqa: PLC0415 - loads langchain

            return LangChainRetriever.from_settings(library.vector_store, encoder, executor=self._pool)
        from guardrail.index.builtin import ensure  # noqa: PLC0415 - loads faiss
        from guardrail.index.retriever import LibraryRetriever  # noqa: PLC0415

        folder = ensure(encoder) if library.index == "builtin" else Path(str(library.index))
        return LibraryRetriever(folder, encoder, executor=self._pool, reload_seconds=library.reload_seconds)


async def _give_back(parts: Parts) -> None:
    """Close what holds files, memory or connections."""
    await parts.generator.aclose()
    if parts.fallback is not None:
        await parts.fallback.aclose()
    close = getattr(parts.retriever, "close", None)
    if close is not None:
        close()


def _personas(settings: Settings) -> dict[str, Persona]:
    known = load_personas(Path(settings.personas.folder) if settings.personas.folder else None)
    for name in settings.personas.allow:
        if name not in known:
            raise ConfigurationError(f"personas.allow: there is no persona '{name}'; the personas are: {', '.join(sorted(known))}.")
    return {name: known[name] for name in settings.personas.allow} if settings.personas.allow else known


def _template(settings: Settings) -> Template:
    templates = load_templates()
    has_library = settings.library.index is not None or settings.library.vector_store is not None
    name = settings.generator.template if has_library or settings.generator.template != "grounded" else "open"
    if name not in templates:
        raise ConfigurationError(f"generator.template: there is no template '{name}'; the templates are: {', '.join(sorted(templates))}.")
    return templates[name]


def _keywords(entry: RailSettings) -> KeywordRail:
    unknown = sorted(set(entry.options) - {"phrases", "patterns", "max_length"})
    if unknown:
        raise ConfigurationError(f"rails: 'keywords' has no option '{unknown[0]}'; it has phrases, patterns and max_length.")
    if entry.stage not in {"input", "output"}:
        raise ConfigurationError("rails: 'keywords' needs a stage, input or output.")
    try:
        options = msgspec.convert(entry.options, KeywordOptions)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"rails: the options of 'keywords' are wrong: {error}.") from None
    return KeywordRail(entry.stage, options.phrases, options.patterns, max_length=options.max_length)


class KeywordOptions(msgspec.Struct, frozen=True):
    """The `options` of a `keywords` rail."""

    phrases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    max_length: int = 200


def _quotation(personas: Mapping[str, Persona], encoder: Encoder | None, chosen: GeneratorSettings) -> Quotation:
    lead_ins = {persona.id: persona.lead_ins for persona in personas.values()}
    return Quotation(lead_ins=lead_ins, encoder=encoder, max_tokens=chosen.max_tokens)


def _generator(chosen: GeneratorSettings, quotation: Quotation | None) -> Generator:
    if chosen.kind == "openai":
        from guardrail.generate.openai import OpenAIGenerator  # noqa: PLC0415 - loads aiohttp

        assert chosen.base_url is not None
        assert chosen.model is not None
        return OpenAIGenerator(
            base_url=chosen.base_url,
            model=chosen.model,
            api_key=chosen.api_key,
            timeout_seconds=chosen.timeout_seconds,
            retries=chosen.retries,
            connections=chosen.connections,
        )
    if chosen.kind == "transformers":
        from guardrail.generate.transformers import TransformersGenerator  # noqa: PLC0415 - loads torch when it starts

        assert chosen.model is not None
        return TransformersGenerator(
            model=chosen.model, adapters=chosen.adapters, quantize=chosen.quantize, batch=chosen.batch, timeout_seconds=chosen.timeout_seconds
        )
    if quotation is None:
        raise ConfigurationError("generator.kind is quotation and there is no library to quote from: set library.index, or another generator.")
    return quotation


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
