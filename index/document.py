"""Documents: a file (or a line of a jsonl file) as text with structure."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec

from guardrail.errors import DocumentError
from guardrail.index import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardrail.index.structure import Block, Extract, Page

READER_VERSION = 1
"""Goes up when a reader would take other text out of the same file, so that files are read anew."""
FILE_BYTES = 256 * 2**20
"""Largest file that is read."""

_READERS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "word",
    ".epub": "epub",
}
SUFFIXES = frozenset({".txt", ".text", ".jsonl", *_READERS})
"""What `read` can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One source of passages."""

    source_id: str
    uri: str
    """Path relative to the folder that was given, with `#line` for a line of a jsonl file."""
    sha256: str
    """Of the file's bytes, or of the jsonl line's."""
    title: str
    work: str
    locator: str
    """Where in the work this document stands, as its metadata says; empty: headings and pages say it."""
    persona: str
    """Whose shelf it stands on; empty: everybody's."""
    text: str
    """The text that all offsets refer to. A plain text file's is the file's, character for character."""
    blocks: tuple[Block, ...]
    pages: tuple[Page, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def questions(self) -> tuple[str, ...]:
        """Questions in users' words that this document answers, as its metadata gives them; search compares what is asked with them."""
        given = self.metadata.get("questions")
        return tuple(given) if _are_questions(given) else ()

    @property
    def titled(self) -> bool:
        """Whether the document brings its title; else it was made from the file's name."""
        return self.title != _title_from_name(Path(self.uri).stem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A document that could not be read, and why, in one sentence."""

    path: str
    reason: str


def read(path: Path, *, uri: str, persona: str = "", work: str = "") -> Iterator[Document | Failure]:
    """The documents in the file at `path`: one, or one a line for jsonl. `persona` and `work` hold where the file names none.

    What cannot be read comes out as a Failure; nothing is raised for a bad file.
    """
    try:
        raw = _bytes(path)
        if path.suffix.lower() == ".jsonl":
            yield from _lines(raw, uri=uri, persona=persona, work=work)
        else:
            yield _file(path, raw, uri=uri, persona=persona, work=work)
    except DocumentError as error:
        yield Failure(path=uri, reason=str(error))


def sha256(path: Path) -> str:
    """Hash of a file's bytes. Raises DocumentError where `read` would find nothing to read."""
    return hashlib.sha256(_bytes(path)).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DocumentError("This is not a regular file.")
        size = path.stat().st_size
        if size > FILE_BYTES:
            raise DocumentError(f"The file is larger than {FILE_BYTES // 2**20} MiB: split it.")
        if size == 0:
            raise DocumentError("The file is empty.")
        return path.read_bytes()
    except OSError as error:
        raise DocumentError(f"The file cannot be opened: {error.strerror or error}.") from error


def _file(path: Path, raw: bytes, *, uri: str, persona: str, work: str) -> Document:
    extract = _extract(path.suffix.lower(), raw)
    if not extract.text.strip():
        raise DocumentError("The file holds no text.")
    metadata = dict(extract.metadata)
    title = _one_line(extract.title) or _title_from_name(path.stem)
    return Document(
        source_id=uri,
        uri=uri,
        sha256=hashlib.sha256(raw).hexdigest(),
        title=title,
        work=metadata.pop("work", "") or work or title,
        locator=metadata.pop("locator", ""),
        persona=metadata.pop("persona", "") or persona,
        text=_storable(extract.text),
        blocks=extract.blocks,
        pages=extract.pages,
        metadata=metadata,
    )


def _extract(suffix: str, raw: bytes) -> Extract:
    if suffix in (".txt", ".text"):
        return plain_text.read(plain_text.decode(raw))
    name = _READERS.get(suffix)
    if name is None:
        raise DocumentError(f"There is no reader for {suffix or 'files without a suffix'}: give {', '.join(sorted(SUFFIXES))}.")
    try:
        reader: Callable[[bytes], Extract] = getattr(importlib.import_module("guardrail.index.readers"), name)
    except ImportError as error:
        raise DocumentError(f"Reading {suffix} needs the extra `documents`: pip install 'guardrail-chat[documents]'.") from error
    try:
        return reader(raw)
    except DocumentError:
        raise
    except Exception as error:  # a damaged file can make a parser raise anything, and must not end the build
        raise DocumentError(f"The file is damaged or not a real {suffix}: {_one_line(str(error))[:200] or type(error).__name__}.") from error


def _lines(raw: bytes, *, uri: str, persona: str, work: str) -> Iterator[Document | Failure]:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        raw = plain_text.decode(raw).encode("utf-8", "surrogatepass")
    found = False
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        found = True
        try:
            yield _line(line.strip(), uri=uri, number=number, persona=persona, work=work)
        except DocumentError as error:
            yield Failure(path=f"{uri}:{number}", reason=str(error))
    if not found:
        raise DocumentError("The file holds no text.")


def _line(line: bytes, *, uri: str, number: int, persona: str, work: str) -> Document:
    try:
        values = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"The line is not valid JSON: {_one_line(str(error))[:120]}.") from error
    if not isinstance(values, dict):
        raise DocumentError("The line is not a JSON object with a `text`.")
    text = values.pop("text", None)
    if not isinstance(text, str):
        raise DocumentError("The line has no `text`, or it is not a string.")
    if not text.strip():
        raise DocumentError("The `text` of the line is empty.")
    if text.count("\0") > max(2, len(text) // 100):
        raise DocumentError("The `text` of the line is binary.")
    if values.get("questions") is not None and not _are_questions(values["questions"]):
        raise DocumentError("The `questions` of the line must be a list of strings.")
    source_id = _field(values, "id") or f"{uri}#{number}"
    title = _one_line(_field(values, "title")) or _title_from_name(Path(uri).stem)
    return Document(
        source_id=source_id,
        uri=f"{uri}#{number}",
        sha256=hashlib.sha256(line).hexdigest(),
        title=title,
        work=_field(values, "work") or work or title,
        locator=_field(values, "locator"),
        persona=_field(values, "persona") or persona,
        text=_storable(text),
        blocks=plain_text.read(text, headings=False).blocks,
        metadata=values,
    )


def _field(values: dict[str, Any], name: str) -> str:
    """A string of the line; numbers are taken as written, null as absent."""
    value = values.pop(name, None)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DocumentError(f"The `{name}` of the line must be a string.")
    return _storable(str(value).strip())


def _are_questions(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(question, str) and question.strip() for question in value)


def _storable(text: str) -> str:
    """`text` itself where it is valid Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(f"Character {error.start} of the text is half of a surrogate pair: the file was cut or wrongly converted.") from error
    return text


def _title_from_name(stem: str) -> str:
    name = _one_line(re.sub(r"[_\-]+", " ", os.fsencode(stem).decode("utf-8", "replace")))
    return name.title() if name.islower() else name


def _one_line(text: str) -> str:
    return " ".join(text.split())
