"""Plain text: its encoding, its paragraphs, and the headings that a typist marks with capitals, `#` or the word Chapter."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from guardrail.errors import DocumentError
from guardrail.index.structure import Block, Extract

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins with the one of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_EMPTY_LINES = re.compile(r"(?>\r\n|\n|\r)(?:[^\S\r\n]*+(?>\r\n|\n|\r))+")
_MARKED_HEADING = re.compile(r"(#{1,6})[ \t]+\S")
_NUMBERED_HEADING = re.compile(
    r"(?:(volume)|(book|part|act)|(chapter|canto|scene|letter)|(section))[ \t]+"
    r"(?:[ivxlc]+|\d+|(?:the[ \t]+)?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth))\b",
    re.IGNORECASE,
)
_HEADING_LENGTH = 80


def decode(raw: bytes, *, declared: str | None = None) -> str:
    """The text of `raw`: by its byte order mark, else UTF-8, else the `declared` encoding, else Windows-1252.

    Guessing among the 8-bit encodings by statistics turned `café` into Arabic on short texts, so there is none.
    Raises DocumentError for binary data.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError as error:
                raise DocumentError(f"The file says that it is {encoding} but byte {error.start} is not: save it as UTF-8.") from error
    if b"\0" in raw:
        raise DocumentError("The file is binary, not text.")
    for encoding in filter(None, ("utf-8", declared, "cp1252")):
        try:
            text = raw.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        if len(_CONTROL.findall(text)) > max(2, len(text) // 100):
            break
        return text
    raise DocumentError("The file is binary, or text in an unknown encoding: save it as UTF-8.")


def read(text: str, *, headings: bool = True) -> Extract:
    """Paragraphs are parted by empty lines; the text itself is kept as it is. With `headings=False` every block is running text."""
    blocks: list[Block] = []
    before = 0
    title = ""
    for left, right in _stretches(text):
        paragraph = text[left:right].strip()
        if not paragraph:
            continue
        start = left + len(text[left:right]) - len(text[left:right].lstrip())
        end = start + len(paragraph)
        gap = text[before:start].replace("\r\n", "\n").replace("\r", "\n").count("\n")
        level = _heading_level(paragraph, apart=before == 0 or gap >= 3) if headings else 0
        if level == 1 and not title and not any(not block.level for block in blocks):
            title = paragraph.lstrip("#").strip()
        blocks.append(Block(start=start, end=end, level=level))
        before = end
    return Extract(text=text, blocks=tuple(blocks), title=title)


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    """What stands between empty lines."""
    start = 0
    for gap in _EMPTY_LINES.finditer(text):
        yield start, gap.start()
        start = gap.end()
    yield start, len(text)


def _heading_level(paragraph: str, *, apart: bool) -> int:
    """1 to 6 where a paragraph is a heading, else 0. `apart`: at least two empty lines stand before it."""
    if len(paragraph) > _HEADING_LENGTH or "\n" in paragraph or "\r" in paragraph:
        return 0
    marked = _MARKED_HEADING.match(paragraph)
    if marked:
        return len(marked.group(1))
    numbered = _NUMBERED_HEADING.match(paragraph)
    if numbered and not paragraph.rstrip().endswith((",", ";", "?", "!")) and (len(paragraph) < 40 or paragraph.isupper()):
        return next(number for number, group in enumerate(numbered.groups(), start=1) if group)
    words = [word for word in paragraph.split() if any(map(str.isalpha, word))]
    if apart and words and paragraph.isupper() and len(words) <= 8 and paragraph[-1] not in ",;:?!-":
        return 2
    return 0
