"""`guardrail check`: the rails alone, on one text or on lines of JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from guardrail.cli.opening import config_option, opened, read_text
from guardrail.cli.printing import json_line
from guardrail.errors import GuardrailError, InvalidRequest

if TYPE_CHECKING:
    from guardrail.assemble import Guardrail
    from guardrail.types import Check


class _Turn(msgspec.Struct):
    role: Literal["system", "user", "assistant"]
    content: str


class _InputLine(msgspec.Struct):
    text: str | None = None
    messages: list[_Turn] | None = None


class _OutputLine(msgspec.Struct):
    text: str
    question: str = ""
    passages: list[str] = []


_Judge = Callable[[Any], "Check"]


@click.command()
@click.argument("text", required=False)
@click.option("--stage", type=click.Choice(["input", "output"]), required=True, help="What is checked: a user's message, or an answer.")
@click.option("--jsonl", "lines", type=click.File("rb"), metavar="FILE|-", help="Check lines of JSON instead of TEXT; one line out for each line in.")
@click.option("--question", metavar="Q", help="The question that TEXT answers; output stage only.")
@click.option("--passage", "passages", multiple=True, metavar="P", help="A passage that TEXT may rest on, may be given more than once; output stage only.")
@config_option
@click.pass_context
def check(
    ctx: click.Context, text: str | None, stage: str, lines: Iterable[bytes] | None, question: str | None, passages: tuple[str, ...], config: Path | None
) -> None:
    """Run the rails alone on TEXT and print what they say as JSON. With `-`, TEXT is read from standard input.

    Lines of --jsonl are {"id", "text"} or {"id", "messages"} at the input stage, {"id", "question", "text", "passages"} at the output stage.
    A line that cannot be checked gives {"id", "error"}; the rest go on and the exit code is 1.
    """
    if (text is None) == (lines is None):
        raise click.UsageError("Give TEXT or --jsonl, one of them.")
    if (question is not None or passages) and (stage == "input" or lines is not None):
        raise click.UsageError("--question and --passage go with a TEXT of the output stage.")
    from guardrail.presentation import check_object

    with opened(config) as guard:
        if text is not None:
            given = read_text(text)
            found = guard.check_input(given) if stage == "input" else guard.check_output(given, passages=passages, question=question or "")
            line = msgspec.json.encode(check_object(found))
            click.echo(msgspec.json.format(line, indent=2) if sys.stdout.isatty() else line)
        elif lines is not None and not _check_lines(lines, *_reader(guard, stage)):
            ctx.exit(1)


def _reader(guard: Guardrail, stage: str) -> tuple[type, _Judge]:
    """The type of a stage's lines, and what is done with one."""

    def judge_input(line: _InputLine) -> Check:
        if (line.text is None) == (line.messages is None):
            raise InvalidRequest("Give text or messages, one of them.")
        if line.messages is None:
            return guard.check_input(line.text or "")
        return guard.check_input([Message(role=turn.role, content=turn.content) for turn in line.messages])

    def judge_output(line: _OutputLine) -> Check:
        return guard.check_output(line.text, passages=line.passages, question=line.question)

    from guardrail.types import Message

    return (_InputLine, judge_input) if stage == "input" else (_OutputLine, judge_output)


def _check_lines(lines: Iterable[bytes], type_: type, judge: _Judge) -> bool:
    """Print one line for each line, as it comes; whether all of them could be checked."""
    from guardrail.presentation import check_object

    good = True
    for line in lines:
        if not line.strip():
            continue
        id_: Any = None
        try:
            value = _object(line)
            id_ = value.get("id")
            json_line({"id": id_} | check_object(judge(msgspec.convert(value, type_))))
        except (GuardrailError, msgspec.ValidationError) as error:
            good = False
            json_line({"id": id_, "error": _sentence(error)})
    return good


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The line is not valid JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The line is not a JSON object.")
    return value


def _sentence(error: Exception) -> str:
    if isinstance(error, GuardrailError):
        return str(error)
    sentence, _, path = str(error).partition(" - at `$.")
    named = f"{path.rstrip('`')}: " if path else ""
    return f"{named}{sentence.removeprefix('Object ').replace('`', '')}."
