"""Texts that stand in the library twice, word for word or nearly so.

Near duplicates are found by MinHash over word shingles (Broder 1997) with banding (Leskovec et al., Mining of Massive Datasets, 3.4),
and each pair found is confirmed by the exact Jaccard similarity of its shingle sets.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

SIMILARITY = 0.8
"""Least Jaccard similarity of near duplicates."""

_SHINGLE = 3
_MIN_WORDS = 12
"""Shorter passages (a heading, a page number) recur for good reasons."""
_HASHES, _ROWS, _LOW_ROWS, _LOW = 40, 4, 2, 0.7
"""In 10 bands of 4 hashes a pair at similarity 0.8 is a candidate with probability 1 - (1 - 0.8^4)^10 = 0.995, at 0.5 with 0.48, at 0.3 with 0.08. Where less
than _LOW is asked for there are 20 bands of 2: 0.997 at 0.5."""
_WORDS_AT_ONCE = 500_000
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Two documents that share text. The later one in the index names the earlier one."""

    kind: Literal["exact", "near"]
    """`exact`: the documents' texts are equal but for case and white space. `near`: some of their passages are alike."""
    source_id: str
    of: str
    passages: int
    """How many passages of `source_id` are alike with one of `of`."""
    similarity: float
    """Mean Jaccard similarity of these passages, 0.8 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document as it is compared."""

    id: str
    text: str
    passages: tuple[str, ...]


def find(sources: Sequence[Source], *, changed: Callable[[str], bool]) -> tuple[Duplicate, ...]:
    """Pairs of documents that share text, of which at least one has `changed`."""
    found: list[Duplicate] = []
    exact: dict[str, str] = {}
    first = defaultdict[bytes, list[str]](list)
    for source in sources:
        group = first[digest(source.text)]
        if group:
            exact[source.id] = group[0]
            if changed(source.id) or changed(group[0]):
                found.append(Duplicate(kind="exact", source_id=source.id, of=group[0], passages=len(source.passages), similarity=1.0))
        group.append(source.id)
    owners: list[str] = []
    texts: list[str] = []
    for source in sources:
        if source.id not in exact:
            owners += [source.id] * len(source.passages)
            texts += source.passages
    alike: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for earlier, later, similarity in pairs(texts):
        if owners[earlier] != owners[later] and (changed(owners[earlier]) or changed(owners[later])):
            rows = alike[owners[later], owners[earlier]]
            rows[later] = max(similarity, rows.get(later, 0.0))
    found += [
        Duplicate(kind="near", source_id=later, of=earlier, passages=len(rows), similarity=round(sum(rows.values()) / len(rows), 3))
        for (later, earlier), rows in alike.items()
    ]
    return tuple(found)


def pairs(texts: Sequence[str], *, least: float = SIMILARITY) -> Iterator[tuple[int, int, float]]:
    """(i, j, similarity) with i < j for texts whose shingle sets have a Jaccard similarity of at least `least`.

    In a cluster of many near-identical texts each is compared with the first, not with all.
    """
    words = _Words()
    seen: set[tuple[int, int]] = set()
    rows = _ROWS if least >= _LOW else _LOW_ROWS
    buckets: list[dict[bytes, int]] = [{} for _ in range(_HASHES // rows)]
    for start, signatures, lengths in _signatures(texts, words):
        for offset, (signature, length) in enumerate(zip(signatures, lengths, strict=True)):
            if length < _MIN_WORDS:
                continue
            row = start + offset
            for band, bucket in enumerate(buckets):
                other = bucket.setdefault(signature[band * rows : (band + 1) * rows].tobytes(), row)
                if other != row and (other, row) not in seen:
                    seen.add((other, row))
                    similarity = _jaccard(texts[other], texts[row], words)
                    if similarity >= least:
                        yield other, row, similarity


class _Words:
    """Numbers words, each by a hash of its own."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> NDArray[np.uint64]:
        numbers = self._numbers
        found = []
        for word in _WORD.findall(text.lower()):
            number = numbers.get(word)
            if number is None:
                number = numbers[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
            found.append(number)
        return np.array(found, np.uint64)


def _shingles(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One hash a word: of the word and the two after it. Each word has its odd multiplier, so order counts."""
    hashed = np.zeros(len(words), np.uint64)
    for shift, multiplier in zip(range(_SHINGLE), (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9), strict=True):
        hashed += np.roll(words, -shift) * np.uint64(multiplier)
    hashed ^= hashed >> np.uint64(29)
    hashed *= np.uint64(0xBF58476D1CE4E5B9)
    return hashed ^ (hashed >> np.uint64(32))


def _signatures(texts: Sequence[str], words: _Words) -> Iterator[tuple[int, NDArray[np.uint64], list[int]]]:
    """(first row, MinHash signatures (n, hashes), lengths in words), some texts at a time."""
    random = np.random.default_rng(0)
    factors = random.integers(1, 2**63, _HASHES, np.uint64) * np.uint64(2) + np.uint64(1)
    start = 0
    while start < len(texts):
        parts: list[NDArray[np.uint64]] = []
        total, stop = 0, start
        while stop < len(texts) and total < _WORDS_AT_ONCE:
            parts.append(words(texts[stop]))
            total += len(parts[-1])
            stop += 1
        lengths = [len(part) for part in parts]
        long_enough = [number for number, length in enumerate(lengths) if length >= _MIN_WORDS]
        signatures = np.zeros((stop - start, _HASHES), np.uint64)
        if long_enough:
            # The last words of a text would reach into the next one: its shingles end before them.
            hashed = [_shingles(parts[number])[: 1 - _SHINGLE] for number in long_enough]
            joined = np.concatenate(hashed)
            begins = np.cumsum([0, *map(len, hashed[:-1])])
            for column, factor in enumerate(factors):
                # Multiplying by an odd number permutes the 64-bit integers; the high bits of the product are the better mixed ones.
                signatures[long_enough, column] = np.minimum.reduceat(joined * factor, begins)
        yield start, signatures, lengths
        start = stop


def _jaccard(left: str, right: str, words: _Words) -> float:
    first, second = (np.unique(_shingles(words(text))[: 1 - _SHINGLE]) for text in (left, right))
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)


def digest(text: str) -> bytes:
    """Hash of a text without regard to case, white space and the form of composed characters."""
    return hashlib.sha256(" ".join(unicodedata.normalize("NFKC", text).casefold().split()).encode()).digest()
