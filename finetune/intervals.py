"""95 % confidence intervals, for every figure that is an estimate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from guardrail.finetune.stage import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.finetune.stage import Better

_Z = 1.96
RESAMPLES = 2000


def wilson(hits: float, total: int) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927); (0, 1) where there are no rows."""
    if not total:
        return 0.0, 1.0
    share, square = hits / total, _Z * _Z / total
    middle, reach = share + square / 2, _Z * math.sqrt(share * (1 - share) / total + square / (4 * total))
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))


def bootstrap(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """The percentile interval of a mean (Efron 1979) over rows drawn with replacement; of no rows (nan, nan)."""
    found = np.asarray(values, np.float64)
    if not found.size:
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    # In parts, so that a long list is never held two thousand times.
    means = [found[random.integers(found.size, size=found.size)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def share(name: str, hits: float, total: int, *, better: Better | None = None) -> Figure:
    """A share with its interval; `hits` may be a sum of shares, one of each row: no mean of values in 0 to 1 varies more than that of 0s and 1s."""
    low, high = wilson(hits, total)
    return Figure(name=name, value=hits / total if total else 0.0, low=low, high=high, n=total, unit="share", better=better)


def mean(name: str, values: Sequence[float], *, unit: str = "", better: Better | None = None, seed: int = 0) -> Figure:
    """A mean with its interval."""
    low, high = bootstrap(values, seed=seed)
    return Figure(name=name, value=float(np.mean(values)) if len(values) else 0.0, low=low, high=high, n=len(values), unit=unit, better=better)
