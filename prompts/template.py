"""A system template: the instructions a model answers under, rendered in a sandbox.

What a user or a document wrote is escaped before it is filled in, so that it can neither close a passage nor pass for one of the model's own control tokens.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Meta

from guardrail import sentences, strict_yaml
from guardrail.errors import ConfigurationError
from guardrail.types import Message

if TYPE_CHECKING:
    from guardrail.prompts.persona import Persona
    from guardrail.types import Evidence

FOLDER = Path(__file__).parent / "templates"

_TAG = re.compile(r"<(?=[|｜/!A-Za-z])")
_ROLE_HEADING = re.compile(r"^([ \t]*(?:#{1,6}[ \t]*)?(?:system|user|assistant|human|instruction|response))[ \t]*:(?=\s|$)", re.IGNORECASE | re.MULTILINE)
_BRACKETED_TOKEN = re.compile(r"\[(/?(?:gMASK|sop|INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|UNUSED\w*))\]", re.IGNORECASE)
_PASSAGE_NUMBER = re.compile(r"\[(\d{1,3})\]")


def escape(text: str) -> str:
    """`text` with everything defused that could pass for structure: tags and control tokens (`</s>`, `<|im_end|>`, `[INST]`), lines that begin another turn
    (`System:`) and passage numbers (`[1]`).

    A person reads it as before.
    """
    if "<" in text:
        text = _TAG.sub("‹", text)
    if ":" in text:
        text = _ROLE_HEADING.sub(r"\1 -", text)
    if "[" in text:
        text = _PASSAGE_NUMBER.sub(r"(\1)", _BRACKETED_TOKEN.sub(r"(\1)", text))
    return text


def _sentences(text: str) -> list[str]:
    """The filter `sentences`: those of `text` in order, without the white space between them."""
    return [text[start:end] for start, end in sentences.spans(text)]


def _finalize(value: Any) -> Any:
    return escape(value) if isinstance(value, str) else value


_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
)
_ENVIRONMENT.filters["sentences"] = _sentences


class _Part:
    """One part of a template, compiled. What it makes of a persona alone is kept."""

    __slots__ = ("_for_persona", "_reads", "_template")

    def __init__(self, source: str) -> None:
        self._template = _ENVIRONMENT.from_string(source)
        self._template.globals = dict(self._template.globals)  # Jinja copies them at every rendering, and its chain of two is slow to copy
        self._reads = meta.find_undeclared_variables(_ENVIRONMENT.parse(source))
        self._for_persona: dict[str, str] = {}

    def render(self, values: dict[str, Any]) -> str:
        card = values["persona"].hash
        if not card or any(values.get(name) for name in self._reads if name != "persona"):
            return self._template.render(values).strip()
        if card not in self._for_persona:
            self._for_persona[card] = self._template.render(values).strip()
        return self._for_persona[card]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One template file. `hash` is its SHA-256.

    Both parts are Jinja: they see `persona`, `passages` (each with title, work, locator, text; numbered from 1 by `loop.index`), `question`, `message` (the
    user's own words) and `instructions` (what the embedding app asked for in a system message). The filter `sentences` cuts a text into its sentences.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    version: Annotated[int, Meta(gt=0)]
    purpose: Annotated[str, Meta(min_length=1)]
    system: Annotated[str, Meta(min_length=1)]
    user: Annotated[str, Meta(min_length=1)]
    history: Annotated[int, Meta(ge=0, le=50)] = 6
    """How many earlier messages the model is shown."""
    marked: bool = True
    """Whether the canary stands around the system message; a template that gives nothing away may go without."""
    excerpts: bool = False
    """Whether the passages are only those, and of each only the sentences, that quotation would quote: for a model too small to find the right ones itself."""
    hidden: Annotated[str, Meta(min_length=1)] | None = None
    """The tag around reasoning that is kept from the user, e.g. `reasoning`; None where the template asks for none."""
    hash: str = ""
    _parts: tuple[_Part, _Part] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def reference(self) -> str:
        """`name@version:hash`, the hash cut to 12 digits."""
        return f"{self.name}@{self.version}:{self.hash[:12]}"

    def system_prompt(self, persona: Persona) -> str:
        """What of the system message is the same for every request."""
        return self._compiled()[0].render({"persona": persona, "passages": [], "question": "", "message": "", "instructions": ""})

    def render(self, *, persona: Persona, evidence: Evidence, canary: str = "") -> tuple[Message, ...]:
        """The messages a model is asked with: one system message, the recent conversation, and the question with its passages.

        `canary` is put before and behind the system message, as a marker that no reply may hold; not where the template goes without.
        """
        request = evidence.question.request
        instructions = "\n".join(message.content for message in request.messages if message.role == "system")
        values = {
            "persona": persona,
            "passages": [hit.passage for hit in evidence.hits],
            "question": evidence.question.text,
            "message": request.text,
            "instructions": instructions,
        }
        system, user = self._compiled()
        turns = [message for message in request.messages[:-1] if message.role != "system"]
        recent = turns[-self.history :] if self.history else []
        said = system.render(values)
        return (
            Message(role="system", content=f"({canary})\n\n{said}\n\n({canary})" if canary and self.marked else said),
            *(Message(role=message.role, content=escape(message.content)) for message in recent),
            Message(role="user", content=user.render(values)),
        )

    def _compiled(self) -> tuple[_Part, _Part]:
        if self._parts is None:
            object.__setattr__(self, "_parts", (_Part(self.system), _Part(self.user)))
        assert self._parts is not None
        return self._parts


def load_template(path: Path) -> Template:
    """The template in the file at `path`. Raises ConfigurationError with file and line."""
    template = strict_yaml.load(path, Template)
    data = path.read_bytes()
    lines = data.decode().splitlines()
    if template.hash:
        raise ConfigurationError(f"{path}:{_line_of(lines, 'hash')}: unknown key 'hash'; it is computed from the file.")
    for part in ("system", "user"):
        try:
            _ENVIRONMENT.from_string(getattr(template, part))
        except jinja2.TemplateSyntaxError as error:
            line = _line_of(lines, part) + error.lineno
            raise ConfigurationError(f"{path}:{line}: {part}: {error.message}.") from None
    return replace(template, hash=hashlib.sha256(data).hexdigest())


def load_templates(folder: Path = FOLDER) -> dict[str, Template]:
    """Every template in `folder` by name. Raises ConfigurationError with file and line."""
    templates = {}
    for path in sorted(folder.glob("*.yaml")):
        template = load_template(path)
        if template.name != path.stem:
            raise ConfigurationError(f"{path}: the template calls itself '{template.name}'; the file must have the same name.")
        templates[template.name] = template
    return templates


def _line_of(lines: list[str], key: str) -> int:
    return next((number for number, line in enumerate(lines, 1) if line.startswith(f"{key}:")), 1)
