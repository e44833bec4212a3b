"""How what speaks for a passage becomes one order. Shapes: one entry a candidate; every score: higher is nearer.

The weights were chosen on the tuning half of `retrieval_wiki` (`benchmarks/retrieval.py` prints the other half).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guardrail.late_interaction import maxsim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail.types import Encoding

CANDIDATES = 100
"""Rows that dense search and BM25 each bring."""
RESCORED = 20
"""How many of the fused candidates late interaction looks at."""
DENSE_WEIGHT = 0.7
LATE_WEIGHT = 0.5
NEAR_DUPLICATE = 0.95
"""Cosine from which two passages say the same."""


def fuse(dense: NDArray[np.float32], sparse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convex combination of min-max scaled scores, 0 to 1 (Bruch et al. 2023, eq. 5)."""
    fused: NDArray[np.float32] = DENSE_WEIGHT * _scaled(dense) + (1 - DENSE_WEIGHT) * _scaled(sparse)
    return fused


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """Candidates after late interaction. `scores` (0 to 1) and `late` (-1 to 1) are by candidate; `order` lists the candidates best first."""

    order: NDArray[np.int64]
    scores: NDArray[np.float32]
    late: NDArray[np.float32]


def rank(question: Encoding, fused: NDArray[np.float32], vectors: NDArray[np.float32], tokens: Sequence[NDArray[np.float32]]) -> Ranking:
    """Candidates by fused score and late interaction; near duplicates of a better one come after all others.

    `vectors` (n, d) and `tokens`, n arrays of token states, belong to the candidates.
    """
    late = np.array([maxsim(question.tokens, states) for states in tokens], np.float32)
    scores: NDArray[np.float32] = (1 - LATE_WEIGHT) * fused + LATE_WEIGHT * np.clip(late, 0, 1)
    order = best_first(scores)
    return Ranking(order=order[_distinct_first(vectors[order])], scores=scores, late=late)


def best_first(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Positions by falling score; equal ones stay in order."""
    return np.argsort(-scores, kind="stable")


def _distinct_first(vectors: NDArray[np.float32]) -> list[int]:
    """Positions of `vectors` (n, d), which come best first, in the same order, but near duplicates of an earlier one at the end."""
    similar = vectors @ vectors.T >= NEAR_DUPLICATE
    distinct: list[int] = []
    repeated: list[int] = []
    for position in range(len(vectors)):
        (repeated if similar[position, distinct].any() else distinct).append(position)
    return distinct + repeated


def _scaled(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores from 0 (lowest) to 1 (highest); where all are equal, 1 if they speak for anything, else 0."""
    lowest, highest = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    if highest <= lowest:
        return (scores > 0).astype(np.float32)
    scaled: NDArray[np.float32] = (scores - lowest) / (highest - lowest)
    return scaled
