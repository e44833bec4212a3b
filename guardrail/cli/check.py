"""`guardrail check`: the rails alone, on one text or on lines of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from guardrail.cli.failure import FAILED
from guardrail.cli.opening import config_option, opened, read_text
from guardrail.cli.printing import json_line
from guardrail.errors import GeneratorError, GuardrailError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
    from pathlib import Path

    from guardrail.assemble import Guardrail
    from guardrail.cli.opening import Session
    from guardrail.protocols import Chunk, Prompt
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


@click.command()
@click.argument("text", required=False)
@click.option("--stage", type=click.Choice(["input", "output"]), required=True, help="What is checked: a user's message, or an answer.")
@click.option("--jsonl", "lines", type=click.File("rb"), metavar="FILE|-", help="Check lines of JSON instead of TEXT; one line out for each line in.")
@click.option("--question", metavar="Q", help="The question that TEXT answers; output stage only.")
@click.option("--passage", "passages", multiple=True, metavar="P", help="A passage that TEXT may rest on, may be given more than once; output stage only.")
@config_option
@click.pass_context
def check(
    ctx: click.Context, *, text: str | None, stage: str, lines: Iterable[bytes] | None, question: str | None, passages: tuple[str, ...], config: Path | None
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

    with opened(config, generator=Nobody()) as session:
        guard = session.guard
        session.run(guard.start())
        if text is not None:
            given = read_text(text)
            work = guard.acheck_input(given) if stage == "input" else guard.acheck_output(given, passages=passages, question=question or "")
            line = msgspec.json.encode(check_object(session.run(work)))
            click.echo(msgspec.json.format(line, indent=2) if sys.stdout.isatty() else line)
        elif lines is not None and not _check_lines(lines, session, _input_line if stage == "input" else _output_line):
            ctx.exit(FAILED)


class Nobody:
    """In the generator's place: the rails run alone, so no model is loaded and none has to be up."""

    name = "nobody"

    def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:  # noqa: ARG002 - the protocol's signature
        raise GeneratorError("The rails run alone here: nobody writes.")

    async def warm_up(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to give back."""


def _input_line(guard: Guardrail, value: dict[str, Any]) -> Coroutine[Any, Any, Check]:
    from guardrail.types import Message

    line = msgspec.convert(value, _InputLine)
    if (line.text is None) == (line.messages is None):
        raise InvalidRequest("Give text or messages, one of them.")
    if line.messages is not None:
        return guard.acheck_input([Message(role=turn.role, content=turn.content) for turn in line.messages])
    return guard.acheck_input(line.text or "")


def _output_line(guard: Guardrail, value: dict[str, Any]) -> Coroutine[Any, Any, Check]:
    line = msgspec.convert(value, _OutputLine)
    return guard.acheck_output(line.text, passages=line.passages, question=line.question)


def _check_lines(lines: Iterable[bytes], session: Session, begin: Callable[[Guardrail, dict[str, Any]], Coroutine[Any, Any, Check]]) -> bool:
    """Print one line for each line, as it comes; whether all of them could be checked."""
    from guardrail.presentation import check_object

    good = True
    for line in lines:
        if not line.strip():
            continue
        id_: Any = None
        try:
            value = _object(line)
            id_ = _printable(value.get("id"))
            json_line({"id": id_} | check_object(session.run(begin(session.guard, value))))
        except (GuardrailError, msgspec.ValidationError) as error:
            good = False
            json_line({"id": id_, "error": _sentence(error)})
    return good


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))  # unlike msgspec it takes half characters, so that the line's id is not lost to them
    except (ValueError, RecursionError):
        raise InvalidRequest("The line is not valid JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The line is not a JSON object.")
    return value


def _printable(id_: Any) -> Any:
    """The id, or None where it is no text that could be written."""
    try:
        msgspec.json.encode(id_)
    except UnicodeEncodeError:
        return None
    return id_


def _sentence(error: Exception) -> str:
    if isinstance(error, GuardrailError):
        return str(error)
    sentence, _, path = str(error).partition(" - at `$.")
    named = f"{path.rstrip('`')}: " if path else ""
    return f"{named}{sentence.removeprefix('Object ').replace('`', '')}."
