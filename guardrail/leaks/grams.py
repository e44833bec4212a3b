"""Words and tokens as 64-bit hashes, and the k-grams of them, the same in the index, the rail and the decode constraint."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

NORMALISATION = "words-1"
"""Goes up with every change of what counts as the same word; an index made with another one is refused."""
LONGEST_WORD = 64
"""Characters; what is longer (a key, a picture in base64) is no word, and no run goes across it."""
WIDEST_GAP = 256
"""Characters between two words of one run."""

_INSIDE = "\u0300-\u036f\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
"""Combining marks and invisible characters: they part no word and make no difference."""
_WORD = re.compile(rf"[^\W_](?:[{_INSIDE}]*[^\W_])*[{_INSIDE}]*")
_NO_WORD = re.compile(r"[\W_]+")
_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Words:
    """The words of a text: their hashes, shape (n,), and where each stands, shape (n, 2). `apart[i]`: no run goes from word i - 1 to word i."""

    hashes: Hashes
    places: NDArray[np.int64]
    apart: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.hashes)


def words(text: str, *, known: dict[str, int] | None = None) -> Words:
    """The words of `text`. Case, accents, punctuation, white space and invisible characters make no difference. `known` keeps the hashes of words."""
    hashes: list[int] = []
    places: list[tuple[int, int]] = []
    apart: list[bool] = []
    before = 0
    broken = False
    for match in _WORD.finditer(text):
        start, end = match.span()
        broken = broken or start - before > WIDEST_GAP
        before = end
        if end - start > LONGEST_WORD:
            broken = True
            continue
        word = match.group()
        value = known.get(word) if known is not None else None
        if value is None:
            value = hashed(plain(word))
            if known is not None:
                known[word] = value
        hashes.append(value)
        places.append((start, end))
        apart.append(broken)
        broken = False
    return Words(hashes=np.array(hashes, np.uint64), places=np.array(places, np.int64).reshape(-1, 2), apart=np.array(apart, np.bool_))


def plain(text: str) -> str:
    """What is left of a word or a token when case, accents, marks, punctuation and white space are gone; empty where there is nothing else."""
    if text.isascii():
        return text.lower() if text.isalnum() else _NO_WORD.sub("", text.lower())
    return _NO_WORD.sub("", unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold()))


def hashed(text: str) -> int:
    """64 bits of BLAKE2b."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def spread(values: Hashes) -> Hashes:
    """Small numbers, such as token ids, as hashes (SplitMix64)."""
    return _mixed((values + np.uint64(1)) * np.uint64(_STEP))


def grams(hashes: Hashes, k: int) -> Hashes:
    """The hash of each of the len(hashes) - k + 1 sequences of k: a polynomial modulo 2^64, mixed."""
    count = len(hashes) - k + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    total = hashes[:count].copy()
    for j in range(1, k):
        total *= np.uint64(_STEP)
        total += hashes[j : j + count]
    return _mixed(total)


def gram(hashes: Sequence[int]) -> int:
    """The hash of one sequence, the same as `grams` gives it, without the cost of an array."""
    total = 0
    for value in hashes:
        total = (total * _STEP + value) & _MASK
    total = ((total ^ (total >> 30)) * _MIX_1) & _MASK
    total = ((total ^ (total >> 27)) * _MIX_2) & _MASK
    return total ^ (total >> 31)


def whole(count: int, k: int, apart: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the k-grams that begin at each word go across no break, shape (max(0, count - k + 1),)."""
    size = count - k + 1
    if size <= 0:
        return np.empty(0, np.bool_)
    breaks = np.concatenate([[0], np.cumsum(apart)])
    result: NDArray[np.bool_] = breaks[k : k + size] == breaks[1 : 1 + size]
    return result


def _mixed(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_MIX_1)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_MIX_2)
    return values ^ (values >> np.uint64(31))
