"""Nearest passages by cosine, in FAISS (Douze et al. 2024).

The FAISS index is made in memory from the stored vectors each time a library is opened: reading a FAISS file from disk can run off the end of memory
(faiss issue 5400), making it anew costs a second for half a million rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT_LIMIT = 20_000
"""Up to this many rows are compared exactly; above, as 8-bit integers (recall@10 of .995 at a quarter of the time and memory)."""
_BLOCK = 8192


class Rows:
    """A choice of rows, as FAISS and BM25 want it. `numbers` ascend."""

    def __init__(self, numbers: NDArray[np.int64], size: int) -> None:
        self.numbers = numbers
        chosen = np.zeros(size, np.bool_)
        chosen[numbers] = True
        self.bitmap: NDArray[np.uint8] = np.packbits(chosen, bitorder="little")


class DenseIndex:
    """Search over `vectors`, shape (n, d), rows of unit length. Thread-safe. `exact` overrides the choice by size."""

    def __init__(self, vectors: NDArray[np.floating[Any]], *, exact: bool | None = None) -> None:
        self.vectors = vectors
        size, dimensions = vectors.shape
        exact = size <= FLAT_LIMIT if exact is None else exact
        self._index = (
            faiss.IndexFlatIP(dimensions) if exact else faiss.IndexScalarQuantizer(dimensions, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        )
        faiss.omp_set_num_threads(1)
        if not self._index.is_trained:
            step = max(1, size // 50_000)
            self._index.train(np.asarray(vectors[::step], np.float32))
        for start in range(0, size, _BLOCK):
            self._index.add(np.asarray(vectors[start : start + _BLOCK], np.float32))

    def top(self, vector: NDArray[np.float32], k: int, rows: Rows | None = None) -> NDArray[np.int64]:
        """The `k` nearest rows, among `rows` if given, best first; fewer where there are fewer."""
        k = min(k, self._index.ntotal if rows is None else len(rows.numbers))
        if k == 0:
            return np.zeros(0, np.int64)
        faiss.omp_set_num_threads(1)  # the setting belongs to the thread that searches; requests run side by side instead
        parameters = None
        if rows is not None:
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(rows.bitmap))
        _, found = self._index.search(vector[None], k, params=parameters)
        nearest: NDArray[np.int64] = found[0][found[0] >= 0]
        return nearest

    def cosines(self, vector: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Exact cosine of `vector` with each of `rows`, shape (len(rows),), -1 to 1."""
        cosines: NDArray[np.float32] = self.vectors[rows].astype(np.float32) @ vector
        return cosines
