"""How far raters agree on which of two replies is better: Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability")."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import krippendorff
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import NDArray

RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One rater's choice on one unit. `value` is above 0 for the first of the two replies, below for the second; its size is the strength."""

    unit: Hashable
    rater: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """alpha = 1 - D_o / D_e: 1 is full agreement, 0 what chance gives, below 0 systematic disagreement; with 95 % intervals from a bootstrap over units."""

    raters: int
    units: int
    """Those that at least two raters judged; only they count."""
    choice: float
    """Alpha of the bare choice (nominal)."""
    choice_low: float
    choice_high: float
    strength: float
    """Alpha of the choice with its strength (interval scale)."""
    strength_low: float
    strength_high: float


def agreement(ratings: Iterable[Rating], *, seed: int = 0) -> Agreement | None:
    """The agreement of all raters. None where it is undefined: fewer than two units that two raters judged, or one and the same choice everywhere.

    A rater who judged a unit twice counts with the mean of both.
    """
    table = _table(ratings)
    judged = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    if judged.shape[1] < 2 or not _varies(np.sign(judged)):
        return None
    random = np.random.default_rng(seed)
    choices: list[float] = []
    strengths: list[float] = []
    for _ in range(RESAMPLES):
        drawn = judged[:, random.integers(judged.shape[1], size=judged.shape[1])]
        if _varies(np.sign(drawn)):
            choices.append(_alpha(np.sign(drawn), "nominal"))
            strengths.append(_alpha(drawn, "interval"))
    choice_low, choice_high = np.quantile(choices, (0.025, 0.975))
    strength_low, strength_high = np.quantile(strengths, (0.025, 0.975))
    return Agreement(
        raters=int((~np.isnan(judged)).any(axis=1).sum()),
        units=judged.shape[1],
        choice=_alpha(np.sign(judged), "nominal"),
        choice_low=float(choice_low),
        choice_high=float(choice_high),
        strength=_alpha(judged, "interval"),
        strength_low=float(strength_low),
        strength_high=float(strength_high),
    )


def _table(ratings: Iterable[Rating]) -> NDArray[np.float64]:
    """(raters, units), NaN where a rater did not judge a unit."""
    values: dict[tuple[str, Hashable], list[float]] = defaultdict(list)
    for rating in ratings:
        values[rating.rater, rating.unit].append(rating.value)
    raters = {rater: row for row, rater in enumerate(dict.fromkeys(rater for rater, _ in values))}
    units = {unit: column for column, unit in enumerate(dict.fromkeys(unit for _, unit in values))}
    table = np.full((len(raters), len(units)), np.nan)
    for (rater, unit), found in values.items():
        table[raters[rater], units[unit]] = np.mean(found)
    return table


def _varies(table: NDArray[np.float64]) -> bool:
    known = table[~np.isnan(table)]
    return bool(known.size and (known != known[0]).any())


def _alpha(table: NDArray[np.float64], level: Literal["nominal", "interval"]) -> float:
    return float(krippendorff.alpha(reliability_data=table, level_of_measurement=level))
