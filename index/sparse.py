"""BM25 over a library's passages (Robertson & Zaragoza 2009, in Lucene's form), after English stemming and folding of case and accents.

bm25s computes every score once, when the index is built; a search adds up a few stretches of its arrays, which stay on disk and are mapped into memory.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from typing import TYPE_CHECKING, Self

import numpy as np
import Stemmer

from guardrail.index.function_words import FUNCTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_DATA, _ROWS, _STARTS, _WORDS = "scores.npy", "rows.npy", "starts.npy", "words.json"
_stemmers = threading.local()


def words(text: str) -> list[str]:
    """The stems that count, in order: case and accents folded, function words left out."""
    stemmer = getattr(_stemmers, "english", None)
    if stemmer is None:  # PyStemmer's objects are not thread-safe
        stemmer = _stemmers.english = Stemmer.Stemmer("english")
    if not text.isascii():
        text = "".join(character for character in unicodedata.normalize("NFKD", text) if not unicodedata.combining(character))
    stems: list[str] = stemmer.stemWords([word for word in _WORD.findall(text.casefold()) if word not in FUNCTION_WORDS])
    return stems


class SparseIndex:
    """What each word adds to each row's score, column by column (CSC): word i stands in `rows[starts[i]:starts[i + 1]]`, ascending. Thread-safe."""

    def __init__(self, *, size: int, vocabulary: Sequence[str], scores: NDArray[np.float32], rows: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        self.size = size
        self._vocabulary = {word: number for number, word in enumerate(vocabulary)}
        self._scores, self._rows, self._starts = scores, rows, starts

    @classmethod
    def build(cls, texts: Iterable[str]) -> Self:
        """Index `texts`; row r is the r-th of them."""
        vocabulary: dict[str, int] = {}
        documents = [[vocabulary.setdefault(word, len(vocabulary)) for word in words(text)] for text in texts]
        if not vocabulary:
            return cls(size=len(documents), vocabulary=(), scores=np.zeros(0, np.float32), rows=np.zeros(0, np.int32), starts=np.zeros(1, np.int64))
        import bm25s  # noqa: PLC0415 - brings scipy: 28 MiB and 0.3 s that a search does not need

        built = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        built.index((documents, vocabulary), create_empty_token=False, show_progress=False)
        return cls(
            size=len(documents),
            vocabulary=tuple(vocabulary),
            scores=np.asarray(built.scores["data"], np.float32),
            rows=np.asarray(built.scores["indices"], np.int32),
            starts=np.asarray(built.scores["indptr"], np.int64),
        )

    def save(self, folder: Path) -> None:
        """Write the index into `folder`, which exists: three .npy files and one of JSON."""
        for name, array in ((_DATA, self._scores), (_ROWS, self._rows), (_STARTS, self._starts)):
            np.save(folder / name, array, allow_pickle=False)
        (folder / _WORDS).write_text(json.dumps({"size": self.size, "words": list(self._vocabulary)}, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, *, mmap: bool = True) -> Self:
        """Read what `save` wrote; with `mmap` the scores stay on disk until they are asked for."""
        stored = json.loads((folder / _WORDS).read_text(encoding="utf-8"))
        mapped = mmap and bool(stored["words"])  # an empty array cannot be mapped
        arrays = (np.load(folder / name, mmap_mode="r" if mapped else None, allow_pickle=False) for name in (_DATA, _ROWS, _STARTS))
        scores, rows, starts = map(np.asarray, arrays)  # a slice of a plain array costs a tenth of one of numpy's memmap
        return cls(size=stored["size"], vocabulary=stored["words"], scores=scores, rows=rows, starts=starts)

    def scores(self, text: str) -> NDArray[np.float32]:
        """BM25 of every row for the words of `text`, shape (size,), 0 where no word is shared."""
        total = np.zeros(self.size, np.float32)
        for word in words(text):
            column = self._column(word)
            # A row stands in a column once, so fancy assignment may add.
            total[self._rows[column]] += self._scores[column]
        return total

    @staticmethod
    def top(scores: NDArray[np.float32], k: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The `k` best rows of `scores`, among `rows` if given, best first; fewer where fewer share a word with the query."""
        candidates = np.flatnonzero(scores > 0) if rows is None else rows[scores[rows] > 0]
        if len(candidates) > k:
            candidates = candidates[np.argpartition(-scores[candidates], k - 1)[:k]]
        best: NDArray[np.int64] = candidates[np.argsort(-scores[candidates], kind="stable")]
        return best

    def coverage(self, text: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Share of the words of `text`, each once and weighted by idf, that stand in each of `rows`: 0 to 1. A word that no row holds counts in full."""
        covered = np.zeros(len(rows), np.float32)
        whole = 0.0
        for word in dict.fromkeys(words(text)):
            holders = self._rows[self._column(word)]
            idf = self._idf(len(holders))
            whole += idf
            if len(holders):
                places = np.minimum(np.searchsorted(holders, rows), len(holders) - 1)
                covered[holders[places] == rows] += idf
        return covered / np.float32(whole) if whole else covered

    def rarity(self, text: str, spans: NDArray[np.int32]) -> NDArray[np.float32]:
        """idf of the word of `text` that each of `spans` (n, 2) belongs to, shape (n,), above 0: highest for a word that no row holds."""
        places = [match.span() for match in _WORD.finditer(text)]
        stems = [words(text[start:end]) for start, end in places]
        rarities = [self._idf(len(self._rows[self._column(stem[0])])) if stem else 1.0 for stem in stems]
        numbers = np.searchsorted([start for start, _ in places], spans[:, 0], side="right") - 1
        return np.array([rarities[number] if number >= 0 else 1.0 for number in numbers], np.float32)

    def _idf(self, holders: int) -> float:
        return float(np.log1p((self.size - holders + 0.5) / (holders + 0.5)))

    def _column(self, word: str) -> slice:
        number = self._vocabulary.get(word)
        return slice(0, 0) if number is None else slice(int(self._starts[number]), int(self._starts[number + 1]))
