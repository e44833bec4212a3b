"""The rows that stages read and write: one JSON object a line, checked strictly. A wrong line is told with its file and number, and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from guardrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NonEmpty = Annotated[str, Meta(pattern=r"\S")]


class Turn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A plain text; other keys of its line are left alone."""

    text: str
    id: str = ""


class Dialogue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A demonstration: what was said, and the passages that the answers rest on."""

    messages: tuple[Turn, ...]
    passages: tuple[str, ...] = ()
    works: tuple[str, ...] = ()
    """The work of each passage, for templates that name it; empty: not known."""
    persona: str | None = None
    template: str | None = None
    """The system template that it is rendered by; None: the server's default one."""
    id: str = ""


class Preference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A choice between two replies."""

    prompt: NonEmpty | tuple[Turn, ...]
    chosen: NonEmpty
    rejected: NonEmpty
    strength: Annotated[int, Meta(ge=1, le=4)] = 4
    """From 1, negligibly better, to 4, significantly better."""
    rater: str = ""
    model: str | None = None
    """Hash of the model that wrote them."""
    id: str = ""


class Prompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something to answer."""

    prompt: NonEmpty | tuple[Turn, ...]
    passages: tuple[str, ...] = ()
    works: tuple[str, ...] = ()
    persona: str | None = None
    template: str | None = None
    risk: str | None = None
    answer: str | None = None
    answerable: bool = True
    """False: nothing in its passages answers it, so that the only right reply is to say so."""
    id: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A question that its passages answer."""

    messages: tuple[Turn, ...]
    passages: tuple[str, ...]
    answer: NonEmpty
    works: tuple[str, ...] = ()
    persona: str | None = None
    template: str | None = None
    id: str = ""

    @property
    def prompt(self) -> Prompt:
        """What is asked, without the answer."""
        return Prompt(prompt=self.messages, passages=self.passages, works=self.works, persona=self.persona, template=self.template, id=self.id)


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A question with one short answer."""

    question: NonEmpty
    answer: NonEmpty
    id: str = ""


Row = TypeVar("Row", Text, Dialogue, Preference, Prompt, Question, Fact)

_EXPECTED: dict[type[Any], str] = {
    Text: '{"text": str, "id"?: str}',
    Dialogue: '{"messages": [{"role": "system|user|assistant", "content": str}], "passages"?: [str], "works"?: [str], "persona"?: str, "template"?: str, '
    '"id"?: str}',
    Preference: '{"prompt": str or messages, "chosen": str, "rejected": str, "strength"?: 1 to 4, "rater"?: str, "model"?: str, "id"?: str}',
    Prompt: '{"prompt": str or messages, "passages"?: [str], "works"?: [str], "persona"?: str, "template"?: str, "risk"?: str, "answer"?: str, '
    '"answerable"?: bool, "id"?: str}',
    Question: '{"messages": [...], "passages": [str], "answer": str, "works"?: [str], "persona"?: str, "template"?: str, "id"?: str}',
    Fact: '{"question": str, "answer": str, "id"?: str}',
}


def read(path: Path, kind: type[Row]) -> Iterator[Row]:
    """The rows of a file, each with an id: its own, or `name:line`. Blank lines are passed over.

    Raises ConfigurationError, beginning with `file:line:`, for a line that is no such row; for a dialogue in which nobody answers; for a choice between equal
    replies; for works that are not as many as the passages; and where the file cannot be read or has no rows.
    """
    decoder = msgspec.json.Decoder(kind)
    empty = True
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                place = f"{path}:{number}"
                try:
                    row = decoder.decode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise ConfigurationError(f"{place}: this is no row of the kind expected ({error}): write {_EXPECTED[kind]}.") from None
                _check(row, place)
                empty = False
                yield row if row.id else msgspec.structs.replace(row, id=f"{path.name}:{number}")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror or error}).") from None
    if empty:
        raise ConfigurationError(f"{path} holds no rows: write one JSON object a line, {_EXPECTED[kind]}.")


def write(path: Path, rows: Iterable[msgspec.Struct]) -> int:
    """One line each; returns how many."""
    count = 0
    with path.open("wb") as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
            count += 1
    return count


def turns(prompt: str | tuple[Turn, ...]) -> tuple[Turn, ...]:
    """A prompt as messages: a text is what the user says."""
    return (Turn(role="user", content=prompt),) if isinstance(prompt, str) else prompt


def chat(messages: Iterable[Turn]) -> list[dict[str, str]]:
    """Messages as chat templates want them."""
    return [{"role": turn.role, "content": turn.content} for turn in messages]


def _check(row: Any, place: str) -> None:
    if isinstance(row, Dialogue):
        _check_turns(row.messages, place)
        if not any(turn.role == "assistant" and turn.content.strip() for turn in row.messages):
            raise ConfigurationError(f"{place}: the assistant says nothing in this dialogue: give it a reply, or drop the line.")
    elif isinstance(row, Preference) and row.chosen.strip() == row.rejected.strip():
        raise ConfigurationError(f"{place}: chosen and rejected are the same text: a choice needs two replies.")
    if isinstance(row, Dialogue | Prompt | Question) and row.works and len(row.works) != len(row.passages):
        raise ConfigurationError(f"{place}: there are {len(row.passages)} passages and {len(row.works)} in works: name the work of each passage, or of none.")
    messages = row.prompt if isinstance(row, Preference | Prompt) and not isinstance(row.prompt, str) else row.messages if isinstance(row, Question) else None
    if messages is not None:
        _check_turns(messages, place)
        if messages[-1].role != "user":
            raise ConfigurationError(f"{place}: the last message of a prompt is the user's, here it is the {messages[-1].role}'s.")


def _check_turns(messages: tuple[Turn, ...], place: str) -> None:
    """Chat templates want a system message first if at all, then user and assistant in turn."""
    if not messages:
        raise ConfigurationError(f"{place}: there are no messages: give at least one.")
    spoken = messages[1:] if messages[0].role == "system" else messages
    for number, turn in enumerate(spoken):
        expected = ("user", "assistant")[number % 2]
        if turn.role != expected:
            raise ConfigurationError(f"{place}: message {number + 1} after the system's is the {turn.role}'s where the {expected}'s turn is.")
    if not spoken:
        raise ConfigurationError(f"{place}: there is only a system message: somebody must say something.")
