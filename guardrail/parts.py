"""Settings into the parts of a turn: the one place that knows every part by name."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from guardrail.chat import Parts
from guardrail.enforcement import EnforcedJudge, EnforcedRail
from guardrail.errors import ConfigurationError
from guardrail.generate.quotation import Quotation
from guardrail.prompts import load_personas, load_templates
from guardrail.rails.answerable import AnswerableRail
from guardrail.rails.grounding import GroundingRail
from guardrail.rails.intent import IntentHead, IntentRail
from guardrail.rails.keywords import KeywordRail

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from guardrail.prompts import Persona, Template
    from guardrail.protocols import Encoder, Generator, IntentClassifier, Retriever
    from guardrail.settings import GeneratorSettings, LibrarySettings, RailSettings, Settings
    from guardrail.types import Stage

STAGES: dict[str, Stage | None] = {"intent": "input", "answerable": "retrieval", "grounding": "output", "keywords": None}
"""The rails a configuration may name, and where each runs; `keywords` runs where it is told to."""
RAILS = tuple(STAGES)


def check_rails(settings: Settings) -> None:
    """Refuse a rail that does not exist or is configured wrongly before anything is loaded."""
    for rail in settings.rails:
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


def load(settings: Settings, *, personas: Mapping[str, Persona], template: Template, pool: Executor, generator: Generator | None = None) -> Parts:
    """Load every part that the settings ask for; `generator` takes the place of the configured one. Raises GuardrailError."""
    encoder = _encoder(settings.library)
    retriever = _retriever(settings.library, encoder, pool) if encoder is not None else None
    quotation = _quotation(personas, encoder, settings.generator) if retriever is not None else None
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
            judge = EnforcedJudge(GroundingRail(encoder, pool=pool, threshold=entry.threshold, is_framing=quotation.is_framing if quotation else None), entry)
    generator = generator or _generator(settings.generator, quotation)
    return Parts(
        personas=personas,
        template=template,
        generator=generator,
        fallback=quotation if generator is not quotation else None,
        encoder=encoder,
        retriever=retriever,
        intent=intent,
        judge=judge,
        input_rails=tuple(rails["input"]),
        retrieval_rails=tuple(rails["retrieval"]),
        output_rails=tuple(rails["output"]),
        pool=pool,
    )


def _encoder(library: LibrarySettings) -> Encoder | None:
    """The encoder, where there is a library to search; nothing else needs it."""
    if library.index is None and library.vector_store is None:
        return None
    from guardrail.index.encoder import MiniLM  # noqa: PLC0415 - loads onnxruntime

    return MiniLM()


def _retriever(library: LibrarySettings, encoder: Encoder, pool: Executor) -> Retriever:
    if library.vector_store is not None:
        from guardrail.index.langchain import LangChainRetriever  # noqa: PLC0415 - loads langchain

        return LangChainRetriever.from_settings(library.vector_store, encoder, executor=pool)
    from guardrail.index.builtin import ensure  # noqa: PLC0415 - loads faiss
    from guardrail.index.retriever import LibraryRetriever  # noqa: PLC0415

    folder = ensure(encoder) if library.index == "builtin" else Path(str(library.index))
    return LibraryRetriever(folder, encoder, executor=pool, reload_seconds=library.reload_seconds)


async def give_back(parts: Parts) -> None:
    """Close what holds files, memory or connections."""
    await parts.generator.aclose()
    if parts.fallback is not None:
        await parts.fallback.aclose()
    close = getattr(parts.retriever, "close", None)
    if close is not None:
        close()


def choose_personas(settings: Settings) -> dict[str, Persona]:
    """The personas that the settings offer, by id."""
    known = load_personas(Path(settings.personas.folder) if settings.personas.folder else None)
    for name in settings.personas.allow:
        if name not in known:
            raise ConfigurationError(f"personas.allow: there is no persona '{name}'; the personas are: {', '.join(sorted(known))}.")
    offered = settings.personas.allow or tuple(sorted(known, key=lambda name: (name != settings.personas.first, name)))
    return {name: known[name] for name in offered}


def choose_template(settings: Settings) -> Template:
    """The system template that the generator is asked with; `open` takes the place of `grounded` where there is no library."""
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
