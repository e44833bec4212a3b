"""What a configuration amounts to: which rails run and when, whose words are used, and where each value comes from."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from guardrail.assemble import Guardrail
from guardrail.errors import ConfigurationError
from guardrail.parts import RAILS, STAGES
from guardrail.rails import answerable, grounding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.settings import RailSettings, Settings

_SECRET = re.compile(r"generator\.api_key|server\.api_keys.*|library\.vector_store\.arguments\..*")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_COEFFICIENTS = {"answerable": answerable.COEFFICIENTS, "grounding": grounding.COEFFICIENTS}
_ON_FAIL = {"answerable": "abstain", "grounding": "abstain", "keywords": "block"}
"""What a rail decides where the configuration does not say."""
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
    if not _has_library(settings) and settings.generator.kind == "quotation":
        raise ConfigurationError("generator.kind is quotation and there is no library to quote from: set library.index, or another generator.")
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
    running: list[tuple[str, RailSettings]] = []
    idle: list[RailPlan] = []
    entries = settings.rails
    for number, entry in enumerate(entries):
        stage: str = entry.stage or STAGES[entry.id] or "input"
        if entry.id != "keywords" and not _has_library(settings):
            idle.append(_plan(entry, stage, why_not="it reads the encoder and the library, and this configuration has no library"))
        elif entry.id in {"intent", "answerable", "grounding"} and any(later.id == entry.id for later in entries[number + 1 :]):
            idle.append(_plan(entry, stage, why_not="a later entry of the same id takes its place"))
        else:
            running.append((stage, entry))
    yield RailPlan(id="limits", stage="input", order=1, built_in=True)
    yield RailPlan(id="courtesy", stage="input", order=2, built_in=True)
    running.sort(key=lambda item: (_ORDER.index(item[0]), item[1].id == "grounding"))
    for order, (stage, entry) in enumerate(running, 3):
        yield _plan(entry, stage, order=order)
    yield from idle
    for id_ in RAILS:
        if all(entry.id != id_ for entry in entries):
            yield RailPlan(id=id_, stage=STAGES[id_] or "input or output", order=None, why_not="the configuration does not name it")


def _plan(entry: RailSettings, stage: str, *, order: int | None = None, why_not: str | None = None) -> RailPlan:
    return RailPlan(
        id=entry.id,
        stage=stage,
        order=order,
        why_not=why_not,
        mode=entry.mode,
        threshold=_own_threshold(entry.id) if entry.threshold is None else entry.threshold,
        on_fail=entry.on_fail if entry.on_fail and entry.id in _ON_FAIL else _ON_FAIL.get(entry.id),
        on_error=entry.on_error,
        timeout_ms=entry.timeout_ms,
    )


def _own_threshold(id_: str) -> float | None:
    """The threshold that was measured for a rail, which stands beside its coefficients."""
    return float(json.loads(_COEFFICIENTS[id_].read_bytes())["threshold"]) if id_ in _COEFFICIENTS else None


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
