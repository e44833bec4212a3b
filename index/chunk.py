"""Chunks: a document cut into pieces that fit the encoder, along headings, then paragraphs, then sentences."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrail import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.index.document import Document
    from guardrail.index.structure import Block
    from guardrail.protocols import Encoder

CHUNKER_VERSION = 1
"""Goes up when the same document would be cut elsewhere, so that indexes are rebuilt."""

_SPECIAL_TOKENS = 2
_WINDOW = 20_000
"""Longest stretch that is searched for sentences at once; the search is quadratic where there are none."""
_ROMAN = re.compile(r"[IVXLCDM]+\.?")
_NAMED = re.compile(r"[^\W\d_]{2}")
_SMALL_WORDS = frozenset({"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"})
_LOCATOR_LENGTH = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSettings:
    """How documents are cut."""

    max_tokens: int = 254
    """Most tokens of a chunk, special tokens left out; the encoder's own limit holds in any case."""
    overlap: bool = False
    """Whether a chunk begins with the last sentence of the one before it (not across a heading)."""
    version: int = CHUNKER_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """`document.text[start:end]`, with the heading and the place it stands at."""

    start: int
    end: int
    title: str
    locator: str
    tokens: int
    """Length in encoder tokens, special tokens left out."""


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    tokens: int


def chunk(document: Document, encoder: Encoder, settings: ChunkSettings) -> list[Chunk]:
    """Cut `document`. The chunks hold all of its text but white space; a run of headings goes with the text below it; none crosses a heading."""
    budget = max(1, min(settings.max_tokens, encoder.max_tokens - _SPECIAL_TOKENS))
    starts = [start for start, _ in encoder.token_spans(document.text)]
    chunks: list[Chunk] = []
    path: list[tuple[int, str]] = []
    for section in _sections(document.blocks):
        for block in section:
            if block.level:
                while path and path[-1][0] >= block.level:
                    path.pop()
                path.append((block.level, _heading(document.text[block.start : block.end])))
        paragraphs = [_sentences(document.text, block, starts) for block in section]
        for start, end in _pack(paragraphs, starts, budget, overlap=settings.overlap):
            chunks += [
                Chunk(
                    start=piece.start,
                    end=piece.end,
                    title=next((heading for _, heading in reversed(path) if _NAMED.search(heading)), document.title),
                    locator=document.locator or _locator(document, path, piece),
                    tokens=piece.tokens,
                )
                for piece in _fit(document.text, start, end, encoder, budget)
            ]
    return chunks


def _sections(blocks: tuple[Block, ...]) -> Iterator[list[Block]]:
    """The blocks from one run of headings to the next."""
    section: list[Block] = []
    for block in blocks:
        if block.level and section and not section[-1].level:
            yield section
            section = []
        section.append(block)
    if section:
        yield section


def _sentences(text: str, block: Block, starts: list[int]) -> list[_Span]:
    """The sentences of a block with their length in tokens; a heading is one."""
    if block.level:
        return [_span(block.start, block.end, starts)]
    found: list[_Span] = []
    start = block.start
    while start < block.end:
        end = min(start + _WINDOW, block.end)
        if end < block.end:
            cut = max(text.rfind(". ", start, end), text.rfind(".\n", start, end)) + 1
            cut = cut or max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = cut if cut > start else end
        found += [_span(start + left, start + right, starts) for left, right in sentences.spans(text[start:end])]
        start = end
    return found


def _span(start: int, end: int, starts: list[int]) -> _Span:
    return _Span(start, end, bisect_left(starts, end) - bisect_left(starts, start))


def _pack(paragraphs: list[list[_Span]], starts: list[int], budget: int, *, overlap: bool) -> Iterator[tuple[int, int]]:
    """Join sentences up to the budget; a paragraph that does not fit begins a new chunk unless the present one is still short."""
    current: list[_Span] = []

    def used(upto: _Span) -> int:
        return bisect_left(starts, upto.end) - bisect_left(starts, current[0].start)

    for paragraph in paragraphs:
        if not paragraph:
            continue
        if current and used(paragraph[-1]) > budget and used(current[-1]) >= budget // 3:
            yield current[0].start, current[-1].end
            current = []
        for sentence in paragraph:
            if current and used(sentence) > budget:
                yield current[0].start, current[-1].end
                last = current[-1]
                current = [last] if overlap and len(current) > 1 and last.tokens + sentence.tokens <= budget else []
            current.append(sentence)
    if current:
        yield current[0].start, current[-1].end


def _fit(text: str, start: int, end: int, encoder: Encoder, budget: int) -> Iterator[_Span]:
    """The stretch itself where the encoder takes it whole; else pieces of at most `budget` tokens, cut at white space where there is some.

    A stretch is counted by itself, because a word cut in two may have more tokens than it had whole.
    """
    while start < end:
        spans = encoder.token_spans(text[start:end])
        stop = end
        count = len(spans)
        while count > budget:
            cut = start + spans[budget][0]
            space = max(text.rfind(" ", start + 1, cut + 1), text.rfind("\n", start + 1, cut + 1))
            stop = space if space > start + (cut - start) // 2 else max(cut, start + 1)
            spans = encoder.token_spans(text[start:stop])
            if len(spans) >= count and stop == start + 1:
                break
            count = len(spans)
        piece = text[start:stop]
        left = start + len(piece) - len(piece.lstrip())
        right = start + len(piece.rstrip())
        if left < right:
            yield _Span(left, right, count)
        start = stop


def _heading(text: str) -> str:
    """A heading on one line, without its marks; capitals become a title: `BOOK II.` is `Book II`."""
    words = text.lstrip("#").split()
    if text.isupper():
        words = [_cased(word, first=number == 0) for number, word in enumerate(words)]
    return " ".join(words).rstrip(".: ") or " ".join(words)


def _cased(word: str, *, first: bool) -> str:
    if _ROMAN.fullmatch(word):
        return word
    return word.lower() if word.lower() in _SMALL_WORDS and not first else word.capitalize()


def _locator(document: Document, path: list[tuple[int, str]], piece: _Span) -> str:
    """Headings from the outermost in, the document's own title left out, then the pages: `Book II, Chapter 3` or `Method, pp. 12-13`."""
    own = {document.title.casefold(), document.work.casefold()}
    parts = [heading for _, heading in path if heading.casefold() not in own]
    if document.pages:
        starts = [page.start for page in document.pages]
        first = document.pages[max(0, bisect_right(starts, piece.start) - 1)].label
        last = document.pages[max(0, bisect_left(starts, piece.end) - 1)].label
        parts.append(f"p. {first}" if first == last else f"pp. {first}-{last}")
    return ", ".join(parts)[:_LOCATOR_LENGTH]
