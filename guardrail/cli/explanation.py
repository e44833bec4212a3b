"""What a configuration amounts to: which rails run and when, whose words are used, and where each value comes from."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from guardrail.assemble import Guardrail
from guardrail.catalogue import KINDS, is_replaced, kind_of
from guardrail.errors import ConfigurationError
from guardrail.parts import needs_no_library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.settings import RailSettings, Settings

_SECRET = re.compile(r"generator\.api_key|server\.api_keys.*|rails\[\d+\]\.options\.api_key|library\.vector_store\.arguments\..*")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_ORDER = ("input", "retrieval", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class RailPlan:
    """One rail and its place in a turn."""

    id: str
    stage: str
    order: int | None
    """Its place among the rails that run, from 1; those of one stage run side by side. None: it does not run."""
    why_not: str | None = None
    """Why it does not run."""
    built_in: bool = False
    """It always runs and cannot be configured away."""
    mode: str = "enforce"
    threshold: float | None = None
    """The configuration's, else the rail's own. None: it has none."""
    on_fail: str | None = None
    """The configuration's, else the rail's own. None: it reports and decides nothing."""
    on_error: str = "closed"
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A persona card or a template."""

    id: str
    version: int
    hash: str
    """SHA-256 of its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of the settings."""

    name: str
    value: Any
    """Secrets are shown as `(hidden)`."""
    origin: str
    """`default`, or `FILE:LINE`, with the name of the environment variable where it comes from one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A configuration, explained."""

    source: str
    config_hash: str
    generator: str
    fallback: str | None
    rails: tuple[RailPlan, ...]
    """Those that run, in their order, then those that do not."""
    personas: tuple[Words, ...]
    template: Words
    values: tuple[Value, ...]


def explain(path: Path | None, settings: Settings) -> Explanation:
    """What the settings of the file at `path` (None: the defaults) amount to. Loads no model. Raises ConfigurationError."""
    guard = Guardrail(settings)
    chosen = settings.generator
    template = guard.template
    quotes = _has_library(settings) and chosen.kind != "quotation"
    return Explanation(
        source=str(path) if path else "the built-in defaults",
        config_hash=guard.config_hash,
        generator=chosen.kind if chosen.model is None else f"{chosen.kind} ({chosen.model})",
        fallback="quotation" if quotes else None,
        rails=tuple(_rails(settings)),
        personas=tuple(Words(id=persona.id, version=persona.version, hash=persona.hash) for persona in guard.personas.values()),
        template=Words(id=template.name, version=template.version, hash=template.hash),
        values=tuple(_values(path, settings)),
    )


def validate(settings: Settings) -> None:
    """Everything that can be told of a configuration without loading a model. Raises GuardrailError with what to do."""
    Guardrail(settings)
    if not _has_library(settings):
        needs_no_library(settings.generator)
    if settings.generator.kind == "transformers" and _missing("torch", "transformers"):
        raise ConfigurationError("generator.kind is transformers, which is not installed: pip install 'guardrail-chat[transformers]'.")
    store = settings.library.vector_store
    if store is not None:
        module = store.factory.partition(".")[0]
        if _missing("langchain_core"):
            raise ConfigurationError("library.vector_store needs langchain-core, which is not installed: pip install 'guardrail-chat[langchain]'.")
        if _missing(module):
            raise ConfigurationError(f"library.vector_store.factory: the package {module} is not installed.")
    elif settings.library.index not in {None, "builtin"}:
        from guardrail.index.generation import current_name

        current_name(Path(str(settings.library.index)))


def _rails(settings: Settings) -> Iterator[RailPlan]:
    running: list[RailSettings] = []
    idle: list[RailPlan] = []
    entries = settings.rails
    for number, entry in enumerate(entries):
        kind = kind_of(entry)
        if kind.encoded and not _has_library(settings):
            idle.append(_plan(entry, why_not="it reads the encoder and the library, and this configuration has no library"))
        elif is_replaced(number, settings):
            idle.append(_plan(entry, why_not="a later entry of the same id takes its place"))
        else:
            running.append(entry)
    yield RailPlan(id="limits", stage="input", order=1, built_in=True)
    yield RailPlan(id="courtesy", stage="input", order=2, built_in=True)
    running.sort(key=lambda entry: (_ORDER.index(kind_of(entry).stage(entry)), kind_of(entry).encoded, entry.id == "grounding"))
    for order, entry in enumerate(running, 3):
        yield _plan(entry, order=order)
    yield RailPlan(id="generation", stage="output", order=len(running) + 3, built_in=True)
    yield from idle
    for kind in KINDS.values():
        if all(entry.id != kind.id for entry in entries):
            yield RailPlan(id=kind.id, stage=" or ".join(kind.stages), order=None, why_not="the configuration does not name it")


def _plan(entry: RailSettings, *, order: int | None = None, why_not: str | None = None) -> RailPlan:
    kind = kind_of(entry)
    return RailPlan(
        id=entry.id,
        stage=kind.stage(entry),
        order=order,
        why_not=why_not,
        mode=entry.mode,
        threshold=kind.measured() if entry.threshold is None and kind.measured is not None else entry.threshold,
        on_fail=kind.consequence(entry),
        on_error=entry.on_error,
        timeout_ms=entry.timeout_ms,
    )


def _values(path: Path | None, settings: Settings) -> Iterator[Value]:
    origins = dict(_origins(path)) if path else {}
    for name, value in _flat(msgspec.to_builtins(settings), ""):
        hidden = _SECRET.fullmatch(name) and value not in (None, [])
        yield Value(name=name, value="(hidden)" if hidden else value, origin=origins.get(name, "default"))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}".removeprefix("."))
    elif isinstance(value, (list, tuple)) and value:
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{name}[{number}]")
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def _origins(path: Path) -> Iterator[tuple[str, str]]:
    """Every leaf that the file names, and where."""
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    yield from _leaves(root, "", path) if root else ()


def _leaves(node: yaml.Node, name: str, path: Path) -> Iterator[tuple[str, str]]:
    if isinstance(node, yaml.MappingNode) and node.value:
        for key, inner in node.value:
            yield from _leaves(inner, f"{name}.{key.value}".removeprefix("."), path)
    elif isinstance(node, yaml.SequenceNode) and node.value:
        for number, inner in enumerate(node.value):
            yield from _leaves(inner, f"{name}[{number}]", path)
    else:
        variable = _REFERENCE.search(node.value) if isinstance(node, yaml.ScalarNode) else None
        yield name, f"{path}:{node.start_mark.line + 1}" + (f", environment {variable.group(1)}" if variable else "")


def _has_library(settings: Settings) -> bool:
    return settings.library.index is not None or settings.library.vector_store is not None


def _missing(*modules: str) -> bool:
    return any(importlib.util.find_spec(module) is None for module in modules)
