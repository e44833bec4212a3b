"""Which stages of a recipe run in a run folder, and why."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from guardrail.errors import ConfigurationError
from guardrail.finetune.recipe import PromoteSettings
from guardrail.finetune.references import references, replaced
from guardrail.finetune.runs import fingerprint
from guardrail.finetune.runs.manifest import ORDER, STAGES, altered, read_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.finetune.recipe import RecipeSettings
    from guardrail.finetune.references import NamedReference
    from guardrail.finetune.runs.manifest import Manifest, StageEntry

Action = Literal["run", "continue", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What happens to a stage. `key` and `inputs` are None while an input is still to be made."""

    action: Action
    reason: str
    key: str | None = None
    inputs: dict[str, str] | None = None


class Scheduler:
    """Decides stage by stage. Files are hashed once."""

    def __init__(self, folder: Path, recipe: RecipeSettings) -> None:
        self._folder = folder
        self._recipe = recipe
        self._hashes: dict[str, str] = {}

    def decide(self, stage: str, manifest: Manifest | None, *, pending: frozenset[str] = frozenset()) -> Decision:
        """What happens to `stage` next; `pending` are the stages that run before it. Raises ConfigurationError where an input cannot be read."""
        settings = self._recipe.stages[stage]
        entries = manifest.stages if manifest is not None else {}
        entry = entries.get(stage)
        needed = [found.value for found in references(settings) if found.value in self._recipe.stages]
        waits = [name for name in needed if name in pending or name not in entries or entries[name].status != "done"]
        if waits:
            return Decision(action="run", reason="never ran" if entry is None else f"its input '{waits[0]}' is made anew")
        inputs = {found.name: self._digest(stage, found, entries) for found in references(settings)}
        inputs |= {f"{name} ({module})": digest for name, module, digest in _code(settings)}
        keyed = replaced(settings, lambda found: inputs[found.name])
        code = [value for name, value in inputs.items() if name.endswith(")")]
        key = fingerprint.key(kind=settings.kind, settings=[keyed, code], seed=self._recipe.seed)
        if entry is None:
            return Decision(action="run", reason="never ran", key=key, inputs=inputs)
        if entry.key != key:
            return Decision(action="run", reason=self._change(stage, entry, inputs), key=key, inputs=inputs)
        if entry.status != "done":
            if not (self._folder / STAGES / stage / ORDER).is_file():
                return Decision(action="run", reason="its folder is gone", key=key, inputs=inputs)
            state = {"failed": "it failed", "interrupted": "it was interrupted", "running": "it was cut off"}[entry.status]
            return Decision(action="continue", reason=state, key=key, inputs=inputs)
        gone = next((output.path for output in entry.outputs.values() if altered(self._folder / STAGES / stage, output)), None)
        if gone is not None:
            return Decision(action="run", reason=f"its output '{gone}' is missing or was altered", key=key, inputs=inputs)
        return Decision(action="skip", reason="nothing changed", key=key, inputs=inputs)

    def _digest(self, stage: str, found: NamedReference, entries: dict[str, StageEntry]) -> str:
        value = found.value
        if value in self._recipe.stages:
            entry = entries[value]
            given = {name: output.sha256 for name, output in sorted(entry.outputs.items()) if name in found.wanted.outputs}
            if len(given) == 1 and found.wanted.outputs != ("figures",):
                return next(iter(given.values()))
            parts = [f"{name}={digest}" for name, digest in given.items()]
            if "figures" in found.wanted.outputs:
                parts += [f"key={entry.key}", f"figures={entry.result}"]
            if isinstance(self._recipe.stages[stage], PromoteSettings):  # it copies what the audit was of
                parts += [f"{name}={digest}" for name, digest in sorted(entry.inputs.items())]
            return fingerprint.text("\n".join(parts))
        if value not in self._hashes:
            path = Path(value)
            if not path.is_absolute():
                return f"name:{value}"
            try:
                self._hashes[value] = fingerprint.of(path)
            except OSError as error:
                raise ConfigurationError(f"stages.{stage}.{found.name}: {path} cannot be read ({error.strerror or error}).") from None
        return self._hashes[value]

    def _change(self, stage: str, entry: StageEntry, inputs: dict[str, str]) -> str:
        """Why the key is another."""
        settings = self._recipe.stages[stage]
        if entry.kind != settings.kind:
            return f"its kind was {entry.kind}"
        changed = [name for name, digest in inputs.items() if name in entry.inputs and entry.inputs[name] != digest]
        if changed:
            return f"its input changed: {', '.join(changed)}"
        order = read_order(self._folder / STAGES / stage)
        if order is not None:
            fields = sorted(differing(order.settings, msgspec.to_builtins(settings)))
            if fields:
                return f"changed: {', '.join(fields)}"
            if order.seed != self._recipe.seed:
                return "changed: seed"
        return "the program that made it was another"


def differing(first: Any, second: Any, name: str = "") -> Iterator[str]:
    """Names of the parts that two settings, as plain values, do not share: `training.epochs`."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in first | second:
            yield from differing(first.get(key), second.get(key), f"{name}.{key}" if name else str(key))
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from differing(one, other, f"{name}[{number}]")
    elif first != second:
        yield name


def _code(settings: Any) -> Iterator[tuple[str, str, str]]:
    """Field, module and SHA-256 of each reward that is a function of the user's: the same name may score otherwise today."""
    for number, term in enumerate((*getattr(settings, "reward", ()), getattr(settings, "gold", None))):
        if term is not None and getattr(term, "kind", None) == "python":
            module = term.path.partition(":")[0]
            spec = None
            with suppress(ImportError, ValueError):
                spec = importlib.util.find_spec(module)
            if spec is not None and spec.origin is not None:
                yield f"reward[{number}].path", module, fingerprint.of(Path(spec.origin))
