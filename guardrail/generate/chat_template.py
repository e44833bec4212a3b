"""Chat templates in jinja2's sandbox, with the tags and names that transformers gives them: a template from a model folder runs no code of its own."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import TemplateError
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import nodes
    from jinja2.parser import Parser


class _Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`, which marks for training what the assistant says; here its content stands as if the tags were not there."""

    tags = {"generation"}  # noqa: RUF012 - the library's own attribute, a set there

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """One template. `marks`: the tokenizer's named special tokens, such as `eos_token`, which it may write."""

    __slots__ = ("_marks", "_template")

    def __init__(self, source: str, *, marks: Mapping[str, str]) -> None:
        """Raises jinja2.TemplateError where `source` is no template."""
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        environment.filters["tojson"] = _json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        self._template = environment.from_string(source)
        self._marks = dict(marks)

    def render(self, messages: Sequence[Mapping[str, str]], *, reply: bool) -> str:
        """The text; with `reply` up to where the assistant's words begin. Raises jinja2.TemplateError."""
        try:
            return self._template.render(self._marks, messages=[dict(message) for message in messages], add_generation_prompt=reply, tools=None, documents=None)
        except TemplateError:
            raise
        except Exception as error:  # a template is a program, which may add a text to a number
            raise TemplateRuntimeError(f"{type(error).__name__}: {error}") from error


def _json(value: Any, indent: int | None = None) -> str:
    """As plain JSON: jinja2's own escapes it for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 - the local day, as transformers gives it
