"""Where rows come from: a hygiene stage, a folder with a training and a held-out part, or files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from guardrail.errors import ConfigurationError, DocumentError
from guardrail.finetune.data.rows import Dialogue, Text, read
from guardrail.finetune.data.splits import check_apart
from guardrail.finetune.stage import RESULT
from guardrail.leaks import corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrail.finetune.settings import MixtureSettings
    from guardrail.finetune.stage import StageContext

TRAIN, HELDOUT = "train.jsonl", "heldout.jsonl"

AnyRow = Text | Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows of one source of a mixture."""

    task: str
    weight: float
    train: tuple[AnyRow, ...]
    heldout: tuple[AnyRow, ...]
    """Empty where nobody kept any out."""


def load(mixtures: Sequence[MixtureSettings], context: StageContext, *, outputs: tuple[str, ...] = ("dialogues", "texts")) -> tuple[Source, ...]:
    """The sources of a mixture. Of a hygiene stage the part that is named is taken or, for `auto`, the first of `outputs` that it gave.

    Raises ConfigurationError for rows that cannot be read, a split with an empty training part, and one whose held-out rows stand in training.
    """
    found = []
    for mixture in mixtures:
        path, ours = _resolve(mixture.data, context, outputs if mixture.part == "auto" else (mixture.part,))
        train, heldout = split(path) if (path / TRAIN).is_file() else (read_rows([path]), ())
        if not train:
            raise ConfigurationError(f"{path} holds no rows to train on.")
        if heldout and not ours:
            check_apart([text_of(row) for row in train], [text_of(row) for row in heldout], place=str(path))
        found.append(Source(task=mixture.task or mixture.data, weight=mixture.weight, train=train, heldout=heldout))
    return tuple(found)


def split(folder: Path) -> tuple[tuple[AnyRow, ...], tuple[AnyRow, ...]]:
    """Training and held-out rows of a folder with train.jsonl and, if there is one, heldout.jsonl."""
    heldout = folder / HELDOUT
    return read_rows([folder / TRAIN]), read_rows([heldout]) if heldout.is_file() and heldout.stat().st_size else ()


def read_rows(paths: Sequence[Path]) -> tuple[AnyRow, ...]:
    """All rows of files and folders: a text file is one text, a .jsonl holds texts or dialogues. Raises ConfigurationError."""
    try:
        files = corpus.files(paths)
    except DocumentError as error:
        raise ConfigurationError(str(error)) from None
    rows: list[AnyRow] = []
    for path in files:
        if path.suffix.lower() in corpus.LINES:
            rows += read(path, Dialogue) if holds_dialogues(path) else read(path, Text)
        else:
            rows.append(read_text(path))
    return tuple(rows)


def read_text(path: Path) -> Text:
    """A text file as one row. Raises ConfigurationError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8: save it as UTF-8.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror or error}).") from None
    if "\0" in text or not text.strip():
        raise ConfigurationError(f"{path} holds no text: take it out.")
    return Text(text=text, id=path.name)


def holds_dialogues(path: Path) -> bool:
    """Whether a .jsonl holds dialogues, by its first line; else it holds texts."""
    with path.open("rb") as file:
        line = next((line for line in file if line.strip()), b"")
    try:
        first: Any = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        first = None
    return isinstance(first, dict) and "messages" in first


def text_of(row: AnyRow) -> str:
    """All that a row says."""
    return row.text if isinstance(row, Text) else "\n".join(turn.content for turn in row.messages)


def with_texts(row: AnyRow, change: Callable[[str], str]) -> AnyRow:
    """`row` with every text in it, passages and their works too, as `change` has it."""
    if isinstance(row, Text):
        return msgspec.structs.replace(row, text=change(row.text))
    messages = tuple(msgspec.structs.replace(turn, content=change(turn.content)) for turn in row.messages)
    return msgspec.structs.replace(row, messages=messages, passages=tuple(map(change, row.passages)), works=tuple(map(change, row.works)))


def _resolve(reference: str, context: StageContext, outputs: tuple[str, ...]) -> tuple[Path, bool]:
    """Where the rows stand, and whether a stage of ours made them."""
    for output in outputs:
        path = Path(context.resolve(reference, output))
        if (path.parent / RESULT).is_file() and not (path / RESULT).is_file():
            return path, True
    if (path / RESULT).is_file():
        raise ConfigurationError(f"The stage {reference} gave none of: {', '.join(outputs)}.")
    return path, False
