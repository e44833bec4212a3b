"""One generation of an index, ready to be searched."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Self

import numpy as np

from guardrail.errors import LibraryError
from guardrail.index import ranking
from guardrail.index.dense import DenseIndex, Rows
from guardrail.index.encoder import unpack
from guardrail.index.generation import SPARSE, Generation
from guardrail.index.sparse import SparseIndex
from guardrail.types import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.protocols import Encoder, Query
    from guardrail.types import Encoding, Passage

_FILTERS = 16
"""Filters that are kept: a generation never changes, and a persona asks with the same one all day."""


class Snapshot:
    """Hybrid search over an opened generation. Thread-safe."""

    def __init__(self, generation: Generation, encoder: Encoder) -> None:
        self._generation = generation
        self._encoder = encoder
        self._sparse = SparseIndex.load(generation.path / SPARSE)
        if self._sparse.size != len(generation.vectors):
            raise LibraryError(f"The index in {generation.path} holds two numbers of passages: delete the folder and build it again.")
        self._dense = DenseIndex(generation.vectors)
        self._filter = lru_cache(maxsize=_FILTERS)(self._rows)

    @classmethod
    def open(cls, folder: Path, encoder: Encoder) -> Self:
        """The current generation of the index in `folder`, verified. Raises LibraryError."""
        generation = Generation.open(folder, fingerprint=encoder.fingerprint)
        try:
            return cls(generation, encoder)
        except (OSError, ValueError, KeyError) as error:
            generation.close()
            raise LibraryError(f"The index in {folder} cannot be read ({error}): delete the folder and build it again.") from error

    @property
    def name(self) -> str:
        """The generation's name."""
        return self._generation.name

    def search(self, query: Query) -> tuple[Hit, ...]:
        """At most `k` hits within the token budget, best first, near duplicates only where nothing else is left. Filters apply before the search."""
        question, text = query.encoding, query.encoding.text
        rows = self._nearest(question, query.persona, query.works, query.k)
        if not len(rows):
            return ()
        candidates = [self._candidate(row) for row in rows]
        ranked = ranking.rank(question, self._sparse.rarity(text, question.spans), candidates)
        coverage = self._sparse.coverage(text, rows)
        hits = (
            Hit(
                passage=passage,
                score=float(ranked.scores[place]),
                dense=float(ranked.dense[place]),
                late=float(ranked.late[place]),
                coverage=float(coverage[place]),
                tokens=candidates[place].tokens,
            )
            for place, passage in zip(ranked.order, self._generation.passages(rows[ranked.order].tolist()), strict=True)
        )
        return tuple(within_budget(hits, query, self._encoder))

    def evidence(self, question: Encoding, persona: str | None) -> tuple[list[Passage], NDArray[np.float32]]:
        """The candidates for `question`, not yet in order, and what speaks for each, shape (n, 4): what the weights of the ranking are fitted on."""
        rows = self._nearest(question, persona, (), 1)
        if not len(rows):
            return [], np.zeros((0, len(ranking.WEIGHTS)), np.float32)
        found = ranking.evidence(question, self._sparse.rarity(question.text, question.spans), [self._candidate(row) for row in rows])
        return self._generation.passages(rows.tolist()), found

    def works(self, persona: str | None) -> tuple[str, ...]:
        """Titles of the works that `persona` may speak from."""
        return self._generation.works(persona)

    def close(self) -> None:
        """Give back files and memory; nobody may search any more."""
        self._filter.cache_clear()
        self._generation.close()

    def _nearest(self, question: Encoding, persona: str | None, works: tuple[str, ...], k: int) -> NDArray[np.int64]:
        """Rows of the candidates for `k` hits, by what dense search and BM25 say together."""
        chosen = self._filter(persona, works)
        depth = max(ranking.CANDIDATES, 2 * k)
        bm25 = self._sparse.scores(question.text)
        rows = np.union1d(
            self._dense.top(question.vector, depth, chosen),
            self._sparse.top(bm25, depth, chosen.numbers if chosen else None),
        )
        fused = ranking.fuse(self._dense.cosines(question.vector, rows), bm25[rows])
        nearest: NDArray[np.int64] = rows[ranking.best_first(fused)[: max(ranking.RESCORED, k)]]
        return nearest

    def _rows(self, persona: str | None, works: Sequence[str]) -> Rows | None:
        numbers = self._generation.rows(persona, works)
        return None if numbers is None else Rows(numbers, len(self._dense.vectors))

    def _candidate(self, row: int) -> ranking.Candidate:
        held = self._generation
        start, end = held.token_offsets[row : row + 2]
        first, last = held.sentence_offsets[row : row + 2]
        return ranking.Candidate(
            vector=held.vectors[row].astype(np.float32),
            tokens=unpack(held.tokens[start:end]),
            sentences=unpack(held.sentence_vectors[first:last]),
            lengths=held.sentence_tokens[first:last],
        )


def within_budget(hits: Iterator[Hit], query: Query, encoder: Encoder) -> Iterator[Hit]:
    """The first `k` of `hits` that fit into the token budget together, best first; one that is too long leaves room for the next."""
    left, found = query.token_budget, 0
    for hit in hits:
        length = len(encoder.token_spans(hit.passage.text))
        if length <= left:
            yield hit
            left -= length
            found += 1
        if found == query.k:
            return
