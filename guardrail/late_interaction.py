"""Late interaction between two texts' token states (ColBERT; Khattab & Zaharia 2020, eq. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def best_matches(query: NDArray[np.float32], passage: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each query token the best cosine among the passage's tokens, and where it stands.

    query: (n, d) and passage: (m, d), rows of unit length, m > 0. Returns (n,) cosines in [-1, 1] and (n,) row numbers of `passage`.
    """
    similarity = query @ passage.T
    best = similarity.argmax(axis=1)
    return similarity[range(len(query)), best], best


def maxsim(query: NDArray[np.float32], passage: NDArray[np.float32]) -> float:
    """Mean over the query's tokens of their best cosine in the passage, in [-1, 1]; 0 where either is empty."""
    if not len(query) or not len(passage):
        return 0.0
    return float((query @ passage.T).max(axis=1).mean())
