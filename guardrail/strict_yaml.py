"""A YAML file read into a frozen dataclass, where every mistake names its file and line.

Unknown keys are refused with the nearest name, a key may stand once, and `${NAME}` or `${NAME:-default}` in a value is taken from the environment.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from guardrail.errors import ConfigurationError

T = TypeVar("T")

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_EXPONENT = re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+")
"""What YAML 1.2 takes for a number and PyYAML, which reads 1.1, for a text: `2e-5`."""
_PATH_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\[\.\.\.\]")


def load(path: Path, type_: type[T]) -> T:
    """Read the file at `path` as `type_`. Raises ConfigurationError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text (byte {error.start}).") from None
    return loads(text, type_, source=str(path))


def loads(text: str, type_: type[T], *, source: str = "<text>") -> T:
    """Read `text` as `type_`; `source` is the file name that errors give. Raises ConfigurationError."""
    root = compose(text, source=source)
    try:
        return read(root, type_)
    except ConfigurationError as error:
        raise error if str(error).startswith(f"{source}:") else ConfigurationError(f"{source}: {error}") from None


def compose(text: str, *, source: str) -> yaml.MappingNode:
    """The mapping that `text` holds, as nodes that know their file and line: to be put together with others before it is read. Raises ConfigurationError."""
    try:
        loader = yaml.SafeLoader(text)
        loader.name = source
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigurationError(f"{source}:{line}: is not valid YAML: {problem}.") from None
    except RecursionError:
        raise ConfigurationError(f"{source}:1: is nested too deeply.") from None
    if root is None:
        mark = yaml.Mark(source, 0, 0, 0, None, 0)
        root = yaml.MappingNode("tag:yaml.org,2002:map", [], mark, mark)
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{source}:1: holds no mapping of keys to values.")
    return root


def read(node: yaml.Node, type_: type[T], *, environment: bool = True) -> T:
    """What `node` holds, as `type_`; not `environment`: `${NAME}` stays as it is.

    Raises ConfigurationError with file and line; what `type_` itself refuses when it is made comes as it was raised.
    """
    try:
        value = _value(node, type_, environment)
    except RecursionError:
        raise ConfigurationError(f"{place(node)}: is nested too deeply.") from None
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `")
        found, name = _node_at(node, path.rstrip("`"))
        sentence = sentence.replace("Object ", "").replace("`", "'").rstrip(".")
        raise ConfigurationError(f"{place(found)}: {name + ': ' if name else ''}{sentence[:1].lower()}{sentence[1:]}.") from None


def place(node: yaml.Node) -> str:
    """Where a node stands, as `file:line`."""
    return f"{node.start_mark.name}:{node.start_mark.line + 1}"


def _value(node: yaml.Node, type_: Any, environment: bool) -> Any:
    """The node as plain Python values, with its keys held against the fields of `type_`."""
    if isinstance(node, yaml.MappingNode):
        fields = _fields(type_)
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in out:
                raise ConfigurationError(f"{place(key_node)}: the key '{key}' stands twice.")
            if fields is not None and key not in fields:
                near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
                hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(fields))}."
                raise ConfigurationError(f"{place(key_node)}: unknown key '{key}'; {hint}")
            out[key] = _value(value_node, fields[key] if fields is not None else _mapping_value(type_), environment)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, _item(type_), environment) for child in node.value]
    quoted = getattr(node, "style", None) in ("'", '"')
    if environment and (quoted or not node.value.startswith("${")):
        text = _REFERENCE.sub(lambda match: _environment(match, node), node.value)
        if text != node.value:
            return text
    elif environment:
        return yaml.safe_load(_REFERENCE.sub(lambda match: _environment(match, node), node.value))
    if not quoted and _EXPONENT.fullmatch(node.value) and float in _arms(type_):
        return float(node.value)
    return yaml.SafeLoader("").construct_object(node)


def _environment(match: re.Match[str], node: yaml.Node) -> str:
    name, default = match.group(1), match.group(2)
    value = os.environ.get(name, default)
    if value is None:
        raise ConfigurationError(f"{place(node)}: the environment variable {name} is not set.")
    return value


def _arms(type_: Any) -> Iterator[Any]:
    """The members of a union, or the type itself."""
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        yield from typing.get_args(type_)
    else:
        yield type_


def _fields(type_: Any) -> dict[str, Any] | None:
    for arm in _arms(type_):
        if dataclasses.is_dataclass(arm) and isinstance(arm, type):
            hints = typing.get_type_hints(arm)
            return {field.name: hints[field.name] for field in dataclasses.fields(arm) if field.init}
    return None


def _item(type_: Any) -> Any:
    for arm in _arms(type_):
        if typing.get_origin(arm) in (tuple, list):
            return typing.get_args(arm)[0]
    return Any


def _mapping_value(type_: Any) -> Any:
    for arm in _arms(type_):
        if typing.get_origin(arm) is dict:
            return typing.get_args(arm)[1]
    return Any


def _node_at(root: yaml.Node, path: str) -> tuple[yaml.Node, str]:
    """The node a msgspec path such as `$.server.port` or `$.rails[0].id` leads to, and the path without its `$.`."""
    node = root
    for match in _PATH_STEP.finditer(path):
        name, index = match.group(1), match.group(2)
        if name is not None and isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == name), node)
        elif index is not None and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
            node = node.value[int(index)]
    return node, path.removeprefix("$").removeprefix(".")
