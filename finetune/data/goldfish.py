"""Goldfish loss (Hans et al. 2024): some tokens are never learned, always the same ones after the same words, so that no passage is learned whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from guardrail.leaks.grams import grams, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORED = -100
"""The label that counts in no loss."""


def dropped(ids: NDArray[np.int32], *, k: int, context: int) -> NDArray[np.bool_]:
    """Which of `ids`, shape (n,), are left out: those whose `context` tokens before hash to 0 modulo `k` (section 3.1), about one in `k`.

    The first `context` tokens are kept. The same passage loses the same tokens wherever it stands, so that copies do not make up for each other.
    """
    marked = np.zeros(len(ids), np.bool_)
    before = grams(spread(ids[:-1].astype(np.uint64)), context)
    marked[context:] = before % np.uint64(k) == 0
    return marked
