"""The text of a document with its structure: what every reader returns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A heading, paragraph, list item or table row, as a span of the document's text."""

    start: int
    end: int
    level: int = 0
    """0 for running text; 1 to 6 for a heading, 1 the highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where a page begins in the document's text."""

    start: int
    label: str
    """As it is printed, e.g. `12` or `xiv`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """What a reader took out of a file. Blocks are in order, do not overlap, and hold everything but white space."""

    text: str
    blocks: tuple[Block, ...]
    pages: tuple[Page, ...] = ()
    title: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


class ExtractWriter:
    """Collects blocks and sets an empty line between them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._pages: list[Page] = []

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._length

    def add(self, text: str, *, level: int = 0, page: str | None = None) -> None:
        """Append one block; text of white space alone is left out. `page` is the label of a page that begins with it."""
        text = text.strip()
        if not text:
            return
        if self._parts:
            self._write("\n\n")
        if page is not None:
            self._pages.append(Page(start=self._length, label=page))
        self._blocks.append(Block(start=self._length, end=self._length + len(text), level=level))
        self._write(text)

    def resume(self, text: str, *, page: str | None = None) -> None:
        """Continue the last block on a new line, as a sentence does across a page break."""
        text = text.strip()
        if not text:
            return
        if not self._blocks or self._blocks[-1].level:
            self.add(text, page=page)
            return
        self._write("\n")
        if page is not None:
            self._pages.append(Page(start=self._length, label=page))
        self._write(text)
        last = self._blocks[-1]
        self._blocks[-1] = Block(start=last.start, end=self._length, level=0)

    def extend(self, extract: Extract) -> None:
        """Append the blocks of another extract."""
        for block in extract.blocks:
            self.add(extract.text[block.start : block.end], level=block.level)

    def finish(self, *, title: str = "", metadata: dict[str, str] | None = None) -> Extract:
        """Everything that was added, as one text."""
        return Extract(text="".join(self._parts), blocks=tuple(self._blocks), pages=tuple(self._pages), title=title, metadata=metadata or {})

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
