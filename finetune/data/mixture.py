"""In which order rows are learned: several sources by weight, the same for the same seed, on one device or on many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def rows_an_epoch(sizes: Sequence[int], weights: Sequence[float]) -> int:
    """Rows of one epoch: each source's size times its weight, rounded."""
    return sum(round(size * weight) for size, weight in zip(sizes, weights, strict=True))


def order(sizes: Sequence[int], weights: Sequence[float], *, count: int, seed: int) -> NDArray[np.int64]:
    """Which row comes when, shape (count,): numbers into the sources laid end to end.

    In every epoch each row of a source comes floor(weight) times, and a share of them, drawn anew, once more; the sources are shuffled together. The last
    epoch is cut off, or another one begun, so that there are exactly `count`.
    """
    if not rows_an_epoch(sizes, weights):
        raise ValueError("there are no rows to order")
    random = np.random.default_rng(seed)
    found: list[NDArray[np.int64]] = []
    total = 0
    while total < count:
        epoch: list[NDArray[np.int64]] = []
        start = 0
        for size, weight in zip(sizes, weights, strict=True):
            numbers = np.arange(start, start + size)
            whole = int(weight)
            epoch += [numbers] * whole
            epoch.append(random.choice(numbers, round(size * weight) - size * whole, replace=False))
            start += size
        rows = random.permutation(np.concatenate(epoch))
        found.append(rows)
        total += len(rows)
    return np.concatenate(found)[:count]
