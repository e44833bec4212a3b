"""A recipe file read strictly: every mistake names its file and line, and every path in it becomes absolute.

`extends: other.yaml` takes another recipe as the start. Mappings are merged key by key, everything else is replaced; stages are merged by id, one of another
`kind` takes the old one's place, and `null` removes one. A new stage stands where the file puts it among the stages that it also names, else at the end.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from guardrail import strict_yaml
from guardrail.errors import ConfigurationError
from guardrail.finetune import recipe_check
from guardrail.finetune.recipe import KINDS, RecipeSettings
from guardrail.finetune.references import GIVES, replaced
from guardrail.finetune.runs import launcher

if TYPE_CHECKING:
    from guardrail.finetune.references import NamedReference, Steps

VERSION = 1
_STAGES = "stages"
_ID_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A recipe whose stages are not read yet."""

    version: Literal[1]
    name: Annotated[str, Meta(pattern=_ID_PATTERN)]
    seed: Annotated[int, Meta(ge=0)] = 0
    launch: str = launcher.SINGLE
    trackers: tuple[Literal["tensorboard", "trackio"], ...] = ()
    stages: dict[Annotated[str, Meta(pattern=_ID_PATTERN)], dict[str, Any]] = field(default_factory=dict)


def load(path: Path) -> RecipeSettings:
    """The recipe in the file at `path`, with what it extends, checked as far as can be told without running it. Raises ConfigurationError."""
    return _read(_composed(path, ()), environment=True)


def load_resolved(path: Path) -> RecipeSettings:
    """A recipe that `dump` wrote. Raises ConfigurationError."""
    return _read(_composed(path, ()), environment=False)


def dump(recipe: RecipeSettings) -> str:
    """The recipe with everything filled in, as YAML."""
    return yaml.safe_dump(msgspec.to_builtins(recipe), sort_keys=False, width=160)


def _composed(path: Path, inside: tuple[Path, ...]) -> yaml.MappingNode:
    """The file's mapping, merged into the one that it extends. `inside` are the files that led here."""
    path = path.resolve()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text (byte {error.start}).") from None
    root = strict_yaml.compose(text, source=str(path))
    pairs = _pairs(root)
    _check_version(root, pairs)
    extends = pairs.pop("extends", None)
    own = yaml.MappingNode(root.tag, list(pairs.values()), root.start_mark, root.end_mark)
    if extends is None:
        return own
    name = extends[1]
    if not isinstance(name, yaml.ScalarNode) or not name.value:
        raise ConfigurationError(f"{strict_yaml.place(name)}: extends: give the path of one recipe.")
    base = (path.parent / name.value).resolve()
    if base in (*inside, path):
        raise ConfigurationError(f"{strict_yaml.place(name)}: extends: {base.name} extends this recipe in turn; leave one of them out.")
    if not base.is_file():
        raise ConfigurationError(f"{strict_yaml.place(name)}: extends: there is no file {base}.")
    return _merged(_composed(base, (*inside, path)), own, ())


def _check_version(root: yaml.MappingNode, pairs: dict[str, tuple[yaml.Node, yaml.Node]]) -> None:
    if "version" not in pairs:
        raise ConfigurationError(f"{strict_yaml.place(root)}: version is missing: write `version: {VERSION}`.")
    node = pairs["version"][1]
    value = str(node.value)
    if value.isdecimal() and int(value) > VERSION:
        sentence = f"the recipe is of version {value} and this program reads version {VERSION}: install a newer guardrail."
        raise ConfigurationError(f"{strict_yaml.place(node)}: {sentence}")


def _pairs(node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key and value nodes by key. Raises ConfigurationError where a key stands twice."""
    out: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if str(key.value) in out:
            raise ConfigurationError(f"{strict_yaml.place(key)}: the key '{key.value}' stands twice.")
        out[str(key.value)] = (key, value)
    return out


def _merged(base: yaml.Node, over: yaml.Node, path: tuple[str, ...]) -> yaml.MappingNode:
    assert isinstance(base, yaml.MappingNode)
    assert isinstance(over, yaml.MappingNode)
    out, waiting = _pairs(base), list[tuple[str, tuple[yaml.Node, yaml.Node]]]()
    for name, (key, value) in _pairs(over).items():
        if path == (_STAGES,) and _is_null(value):
            if name not in out:
                raise ConfigurationError(f"{strict_yaml.place(key)}: there is no stage '{name}' to remove.")
            del out[name]
        elif name not in out:
            waiting.append((name, (key, value)))
        else:
            here = (*path, name)
            mergeable = isinstance(value, yaml.MappingNode) and isinstance(out[name][1], yaml.MappingNode)
            if mergeable and not (path == (_STAGES,) and _other_kind(out[name][1], value)):
                value = _merged(out[name][1], value, here)  # noqa: PLW2901 - the pair that is put in
            items = [(known, pair) for known, pair in out.items() if known != name]
            position = list(out).index(name)
            out = dict([*items[:position], *waiting, (name, (key, value)), *items[position:]])
            waiting = []
    out |= waiting
    return yaml.MappingNode(base.tag, list(out.values()), over.start_mark, over.end_mark)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _other_kind(base: yaml.Node, over: yaml.Node) -> bool:
    return _kind(over) is not None and _kind(over) != _kind(base)


def _kind(node: yaml.Node) -> str | None:
    found = next((value for key, value in node.value if key.value == "kind"), None) if isinstance(node, yaml.MappingNode) else None
    return str(found.value) if isinstance(found, yaml.ScalarNode) else None


def _read(root: yaml.MappingNode, *, environment: bool) -> RecipeSettings:
    pairs = _pairs(root)
    stage_root = pairs[_STAGES][1] if _STAGES in pairs else None
    if not isinstance(stage_root, yaml.MappingNode) or not stage_root.value:
        raise ConfigurationError(f"{strict_yaml.place(stage_root or root)}: stages: a recipe needs at least one stage, each under its id.")
    nodes = {name: value for name, (_, value) in _pairs(stage_root).items()}
    kinds = {name: _stage_kind(name, node) for name, node in nodes.items()}
    draft = strict_yaml.read(root, _Draft, environment=environment)
    launch = launcher.named(draft.launch, folder=_folder(pairs["launch"][1]) if "launch" in pairs else Path(), place=_place(pairs, "launch"))
    stages: dict[str, Any] = {}
    for name, node in nodes.items():
        settings = strict_yaml.read(node, KINDS[kinds[name]], environment=environment)
        earlier = {known: kinds[known] for known in stages}
        stages[name] = replaced(settings, lambda found, node=node, name=name, earlier=earlier: _resolved(found, node, name, earlier, kinds))  # type: ignore[misc] # mypy does not infer a lambda's defaults
    recipe = RecipeSettings(version=draft.version, name=draft.name, seed=draft.seed, launch=launch, trackers=draft.trackers, stages=stages)
    for fault in recipe_check.faults(recipe, processes=launcher.processes(launch)):
        raise ConfigurationError(f"{strict_yaml.place(_node_at(nodes[fault.stage], fault.steps))}: {fault.sentence}")
    return recipe


def _place(pairs: dict[str, tuple[yaml.Node, yaml.Node]], key: str) -> str:
    return strict_yaml.place(pairs[key][1]) if key in pairs else ""


def _stage_kind(name: str, node: yaml.Node) -> str:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError(f"{strict_yaml.place(node)}: stages.{name}: holds no mapping of keys to values.")
    kind = _kind(node)
    if kind is None:
        raise ConfigurationError(f"{strict_yaml.place(node)}: stages.{name}: kind is missing; the kinds are: {', '.join(KINDS)}.")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"the kinds are: {', '.join(KINDS)}."
        raise ConfigurationError(f"{strict_yaml.place(_node_at(node, ('kind',)))}: stages.{name}: there is no kind '{kind}'; {hint}")
    return kind


def _resolved(found: NamedReference, node: yaml.Node, stage: str, earlier: dict[str, str], kinds: dict[str, str]) -> str:
    """The id of the stage, the absolute path, or the name that a reference stands for."""
    value, wanted, at = found.value, found.wanted, _node_at(node, found.steps)
    if value in wanted.words or (value in earlier and set(GIVES[earlier[value]]) & set(wanted.outputs)):
        return value
    path = (_folder(at) / Path(value).expanduser()).resolve()
    if value not in earlier and wanted.path and path.exists():
        return str(path)
    if value not in kinds and wanted.hub and _may_be_hub_name(value, _folder(at)):
        return value
    raise ConfigurationError(f"{strict_yaml.place(at)}: {found.name}: {_why_not(found, path, stage, earlier, kinds)}")


def _why_not(found: NamedReference, path: Path, stage: str, earlier: dict[str, str], kinds: dict[str, str]) -> str:
    value, wanted = found.value, found.wanted
    if value in earlier:
        what = " or ".join(output.replace("_", " ") for output in wanted.outputs) or "file"
        return f"the stage '{value}' is of kind {earlier[value]} and gives no {what}."
    if value in kinds:
        return f"the stage '{value}' {'is this one' if value == stage else 'runs later'}; a stage reads from earlier ones."
    near = difflib.get_close_matches(value, earlier, n=1, cutoff=0.6) if wanted.outputs else []
    hint = f"; did you mean the stage '{near[0]}'?" if near else "."
    if not wanted.path:
        return f"there is no earlier stage '{value}'{hint}"
    return f"there is no {'earlier stage and no ' if wanted.outputs else ''}file or folder '{value}' ({path}){hint}"


def _may_be_hub_name(value: str, folder: Path) -> bool:
    """`owner/name`, where there is no folder `owner` beside the recipe that it could be looked for in."""
    owner, slash, name = value.partition("/")
    return bool(slash and owner and name) and "/" not in name and owner[0] not in ".~" and not (folder / owner).is_dir()


def _folder(node: yaml.Node) -> Path:
    """Of the file that a node stands in."""
    return Path(node.start_mark.name).parent


def _node_at(node: yaml.Node, steps: Steps) -> yaml.Node:
    """The part of `node` that `steps` lead to; the last one there is where a default stands."""
    for step in steps:
        if isinstance(step, int):
            children = node.value if isinstance(node, yaml.SequenceNode) else []
            found = children[step] if step < len(children) else None
        else:
            found = next((value for key, value in node.value if key.value == step), None) if isinstance(node, yaml.MappingNode) else None
        if found is None:
            return node
        node = found
    return node
