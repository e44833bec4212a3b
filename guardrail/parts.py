"""Settings into the parts of a turn: the one place that knows every part by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from guardrail import catalogue
from guardrail.catalogue import Materials
from guardrail.chat import Parts
from guardrail.enforcement import EnforcedJudge, EnforcedRail
from guardrail.errors import ConfigurationError
from guardrail.generate import shipped
from guardrail.generate.quotation import Quotation
from guardrail.prompts import load_help_lines, load_personas, load_templates
from guardrail.rails.intent import IntentHead
from guardrail.rails.prompt_leak import new_canary
from guardrail.settings import TEMPERATURE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from guardrail.generate.transformers import Constraint
    from guardrail.leaks.index import LeakIndex
    from guardrail.prompts import Persona, Template
    from guardrail.protocols import Encoder, Generator, Judge, Retriever
    from guardrail.rails.heads import SafetyEncoder
    from guardrail.settings import GeneratorSettings, LibrarySettings, Settings
    from guardrail.types import Stage


@runtime_checkable
class Closing(Protocol):
    """A rail that holds connections."""

    async def aclose(self) -> None: ...


def load(
    settings: Settings,
    *,
    personas: Mapping[str, Persona],
    template: Template,
    dialogue: Template,
    pool: Executor,
    generator: Generator | None = None,
    before: Parts | None = None,
    before_settings: Settings | None = None,
) -> Parts:
    """Load every part that the settings ask for; `generator` takes the place of the configured one. Raises GuardrailError.

    What `before`, loaded for `before_settings`, has and the settings leave as it is, is used on.
    """
    same_library = before is not None and before_settings is not None and before_settings.library == settings.library
    encoder = before.encoder if before is not None and before.encoder is not None else _encoder(settings.library)
    retriever = before.retriever if before is not None and same_library else _retriever(settings.library, encoder, pool)
    quotation = _quotation(personas, encoder, settings.generator) if retriever is not None else None
    given = generator is not None
    if generator is None and before is not None and before_settings is not None and before_settings.generator == settings.generator:
        generator = before.generator if settings.generator.kind != "quotation" else None
    rails: dict[Stage, list[EnforcedRail]] = {"input": [], "retrieval": [], "output": []}
    judge: EnforcedJudge | None = None
    library = retriever is not None
    reads_intent = library and any(entry.id == "intent" for entry in settings.rails)
    reads_safety = library and any(catalogue.kind_of(entry).reads_safety for entry in settings.rails)
    canary = new_canary() if any(entry.id == "prompt_leak" for entry in settings.rails) else ""
    leak_index = _leak_index(settings.generator)
    materials = Materials(
        pool=pool,
        leak_index=leak_index,
        own_words=tuple(wording for persona in personas.values() for wording in persona.wordings),
        encoder=encoder if library else None,
        secrets=tuple({one.system_prompt(persona): None for one in (template, dialogue) if one.marked for persona in personas.values()}),
        public=tuple(text for persona in personas.values() for text in (persona.field, persona.description, *persona.topics)),
        canary=canary,
        intent=IntentHead.load(cast("SafetyEncoder", encoder)) if reads_intent else None,
        is_framing=quotation.is_framing if quotation else None,
    )
    for number, entry in enumerate(settings.rails):
        kind = catalogue.kind_of(entry)
        if (kind.encoded and not library) or catalogue.is_replaced(number, settings):
            continue
        rail = catalogue.load(entry, materials)
        if kind.id == "grounding":
            judge = EnforcedJudge(cast("Judge", rail), entry, consequence=kind.consequence(entry), decision=kind.decision(entry))
        else:
            enforced = EnforcedRail(rail, entry, consequence=kind.consequence(entry), decision=kind.decision(entry), seeks_hidden=kind.seeks_hidden)
            rails[kind.stage(entry)].append(enforced)
    generator = generator or _generator(settings.generator, quotation, leak_index)
    return Parts(
        personas=personas,
        template=template,
        dialogue=dialogue,
        help_lines=load_help_lines(),
        generator=generator,
        fallback=quotation if generator is not quotation else None,
        encoder=encoder,
        retriever=retriever,
        intent=materials.intent,
        judge=judge,
        input_rails=tuple(rails["input"]),
        retrieval_rails=tuple(rails["retrieval"]),
        output_rails=tuple(rails["output"]),
        pool=pool,
        reads_safety=reads_safety,
        canary=canary,
        narrowed=quotation.relevance.narrowed if quotation else None,
        converses=given or settings.generator.kind != "persona",
        temperature=_temperature(settings.generator, given=given),
    )


def _encoder(library: LibrarySettings) -> Encoder | None:
    """The encoder, where there is a library to search; nothing else needs it."""
    if library.index is None and library.vector_store is None:
        return None
    from guardrail.index.encoder import MiniLM  # noqa: PLC0415 - loads onnxruntime

    return MiniLM()


def _retriever(library: LibrarySettings, encoder: Encoder | None, pool: Executor) -> Retriever | None:
    if encoder is None or (library.index is None and library.vector_store is None):
        return None
    if library.vector_store is not None:
        from guardrail.index.langchain import LangChainRetriever  # noqa: PLC0415 - loads langchain

        return LangChainRetriever.from_settings(library.vector_store, encoder, executor=pool)
    from guardrail.index.builtin import ensure  # noqa: PLC0415 - loads faiss
    from guardrail.index.retriever import LibraryRetriever  # noqa: PLC0415

    folder = ensure(encoder) if library.index == "builtin" else Path(str(library.index))
    return LibraryRetriever(folder, encoder, executor=pool, reload_seconds=library.reload_seconds)


async def give_back(parts: Parts, *, but: Parts | None = None) -> None:
    """Close what holds files, memory or connections; not what `but` uses too."""
    if but is None or parts.generator is not but.generator:
        await parts.generator.aclose()
    if parts.fallback is not None:
        await parts.fallback.aclose()
    for rail in parts.rails:
        if isinstance(rail.rail, Closing):
            await rail.rail.aclose()
    close = getattr(parts.retriever, "close", None)
    if close is not None and (but is None or parts.retriever is not but.retriever):
        close()


def choose_personas(settings: Settings) -> dict[str, Persona]:
    """The personas that the settings offer, by id."""
    known = load_personas(Path(settings.personas.folder) if settings.personas.folder else None)
    for name in settings.personas.allow:
        if name not in known:
            raise ConfigurationError(f"personas.allow: there is no persona '{name}'; the personas are: {', '.join(sorted(known))}.")
    offered = settings.personas.allow or tuple(sorted(known, key=lambda name: (name != settings.personas.first, name)))
    return {name: known[name] for name in offered}


def choose_template(settings: Settings, *, given: bool = False) -> Template:
    """The system template that the generator is asked with; `given` says that it is not the one of the settings.

    The persona model has its own in the place of `grounded`, and where there is no library `open` takes it.
    """
    templates = load_templates()
    name = settings.generator.template
    if name == "grounded" and settings.generator.kind == "persona" and not given:
        name = shipped.TEMPLATE
    elif name == "grounded" and not _has_library(settings):
        name = "open"
    if name not in templates:
        raise ConfigurationError(f"generator.template: there is no template '{name}'; the templates are: {', '.join(sorted(templates))}.")
    return templates[name]


def _temperature(chosen: GeneratorSettings, *, given: bool) -> float:
    if chosen.temperature is not None:
        return chosen.temperature
    return shipped.TEMPERATURE if chosen.kind == "persona" and not given else TEMPERATURE


def choose_dialogue_template(settings: Settings, *, given: bool = False) -> Template:
    """The one for a turn that answers another persona. Where there is no library, or the model has a template of its own, the one of every turn has to do."""
    usual = _has_library(settings) and settings.generator.template == "grounded"
    return load_templates()["dialogue"] if usual else choose_template(settings, given=given)


def _has_library(settings: Settings) -> bool:
    return settings.library.index is not None or settings.library.vector_store is not None


def _quotation(personas: Mapping[str, Persona], encoder: Encoder | None, chosen: GeneratorSettings) -> Quotation:
    lead_ins = {persona.id: persona.lead_ins for persona in personas.values()}
    replies = {persona.id: persona.replies or () for persona in personas.values()}
    return Quotation(lead_ins=lead_ins, replies=replies, encoder=encoder, max_tokens=chosen.max_tokens)


def _leak_index(chosen: GeneratorSettings) -> LeakIndex | None:
    """The leak index that the settings name. Raises ConfigurationError where it is damaged, or not the one of the model."""
    index: LeakIndex | None = None
    if chosen.leak_index is not None:
        from guardrail.leaks.index import LeakIndex  # noqa: PLC0415 - not needed without one

        index = LeakIndex.open(Path(chosen.leak_index))
    if chosen.kind in {"transformers", "numpy"} and chosen.model is not None and Path(chosen.model).is_dir():
        from guardrail.leaks.index import require  # noqa: PLC0415

        require(Path(chosen.model), index)
    return index


def needs_no_library(chosen: GeneratorSettings) -> None:
    """Raise ConfigurationError where the generator can do nothing without a library."""
    if chosen.kind in {"persona", "quotation"}:
        raise ConfigurationError(f"generator.kind is {chosen.kind} and there is no library to speak from: set library.index, or another generator.")


def _generator(chosen: GeneratorSettings, quotation: Quotation | None, leak_index: LeakIndex | None) -> Generator:
    if quotation is None:
        needs_no_library(chosen)
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
        constraint: Constraint | None = None
        if leak_index is not None and leak_index.manifest.tokens is not None:
            from guardrail.generate.memfree import MemFree  # noqa: PLC0415 - loads torch

            constraint = MemFree(leak_index)
        return TransformersGenerator(
            model=chosen.model,
            adapters=chosen.adapters,
            quantize=chosen.quantize,
            batch=chosen.batch,
            timeout_seconds=chosen.timeout_seconds,
            context_aware=chosen.context_aware,
            copying=chosen.copying,
            constraint=constraint,
        )
    if chosen.kind == "numpy":
        assert chosen.model is not None
        return _numpy_generator(chosen, leak_index, model=chosen.model, copying=chosen.copying)
    if chosen.kind == "persona":
        return _numpy_generator(chosen, leak_index, model=str(shipped.FOLDER), copying=shipped.COPYING, name=shipped.NAME)
    assert quotation is not None
    return quotation


def _numpy_generator(chosen: GeneratorSettings, leak_index: LeakIndex | None, *, model: str, copying: float, name: str | None = None) -> Generator:
    from guardrail.generate.continuations import leaning  # noqa: PLC0415 - not needed without a model
    from guardrail.generate.numpy import NumpyGenerator  # noqa: PLC0415
    from guardrail.generate.recital import Recitals  # noqa: PLC0415

    recitals = Recitals(leak_index) if leak_index is not None and leak_index.manifest.tokens is not None else None
    leanings = (leaning(copying),) if copying else ()
    return NumpyGenerator(model=model, name=name, batch=chosen.batch, timeout_seconds=chosen.timeout_seconds, recitals=recitals, leanings=leanings)
