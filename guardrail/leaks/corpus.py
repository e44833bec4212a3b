"""A training corpus read piece by piece: text files, lines of JSON with `text` or `messages`, and folders of them."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import msgspec

from guardrail.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

TEXT = frozenset({".txt", ".text", ".md"})
LINES = frozenset({".jsonl"})
_BLOCK = 1 << 20
"""Bytes of a text file at once."""


class _Turn(msgspec.Struct):
    content: str


class _Row(msgspec.Struct):
    text: str | None = None
    messages: list[_Turn] | None = None


def files(paths: Sequence[Path]) -> list[Path]:
    """The files under `paths` in a fixed order; in folders only those of a kind that is read. Raises DocumentError where there are none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix.lower() in TEXT | LINES and file.is_file())
        elif not path.exists():
            raise DocumentError(f"There is no {path}: give the files or folders of the training corpus.")
        elif path.suffix.lower() in TEXT | LINES:
            found.append(path)
        else:
            raise DocumentError(f"{path} is of a kind that is not read: give {', '.join(sorted(TEXT | LINES))} or a folder of them.")
    if not found:
        raise DocumentError("The corpus holds no text: give files or folders with .txt, .md or .jsonl.")
    return found


def documents(paths: Sequence[Path]) -> Iterator[Iterable[str]]:
    """The texts of the corpus, each in pieces that part at white space. Raises DocumentError for a file or a line that is no text."""
    for path in paths:
        if path.suffix.lower() in LINES:
            yield from _rows(path)
        else:
            yield _pieces(path)


def _pieces(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest = ""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                if b"\0" in block:
                    raise DocumentError(f"{path} is binary, not text: take it out of the corpus.")
                rest += decoder.decode(block)
                cut = max(rest.rfind(" "), rest.rfind("\n"))
                if cut >= 0:
                    yield rest[:cut]
                    rest = rest[cut:]
        yield rest + decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path} is not UTF-8: save it as UTF-8.") from error
    except OSError as error:
        raise DocumentError(f"{path} cannot be read ({error.strerror or error}).") from error


def _rows(path: Path) -> Iterator[Iterable[str]]:
    decoder = msgspec.json.Decoder(_Row)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = decoder.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise DocumentError(f"{path}:{number} is not a JSON object with `text` or `messages`: mend the line.") from error
                if row.text is None and row.messages is None:
                    raise DocumentError(f"{path}:{number} has neither `text` nor `messages`: give it one of them.")
                if row.text is not None:
                    yield (row.text,)
                for turn in row.messages or ():
                    yield (turn.content,)
    except OSError as error:
        raise DocumentError(f"{path} cannot be read ({error.strerror or error}).") from error
