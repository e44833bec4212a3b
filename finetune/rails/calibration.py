"""The threshold that suits one deployment, from scores of labelled rows, with how sure one can be of it.

A rail raises an alarm where its score is above the threshold. `bad` rows are those that should raise one: unsupported sentences, harmful messages.

- precision    share of the alarms that are right
- recall       share of the bad rows that raise an alarm
- false alarms share of the good rows that raise one

The threshold is fitted on one half of the rows and the rates are those of the other half, so they hold for rows not seen. Where the rows are few, five folds
take turns instead, and the threshold is that of all rows. Intervals are percentiles of a bootstrap over groups (Efron & Tibshirani 1993, ch. 13).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from guardrail.errors import GuardrailError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEAST = 20
"""Fewest rows of either kind."""
FEW = 100
"""With fewer rows of either kind the folds take turns."""
FOLDS = 5
Measure = Literal["precision", "recall", "fpr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the threshold should reach: at least this precision or recall, or at most this rate of false alarms (`fpr`)."""

    measure: Measure
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How a threshold does on some rows, each figure from 0 to 1; precision is None where there was no alarm."""

    precision: float | None
    recall: float
    fpr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A threshold with its interval, and its rates on rows that it was not fitted on."""

    threshold: Estimate
    precision: Estimate | None
    recall: Estimate
    fpr: Estimate
    target: Target | None
    met: bool
    """Whether the rates on the other rows keep to the target; their intervals may still say otherwise."""
    crossfitted: bool
    good: int
    bad: int


class Unreachable(GuardrailError):
    """No threshold reaches the target on these rows."""

    status = 422
    code = "target_unreachable"


def calibrate(
    scores: Sequence[float], bad: Sequence[bool], *, groups: Sequence[str] | None = None, target: Target | None = None, resamples: int = 1000, seed: int = 0
) -> Calibration:
    """The threshold for `target`, or without one that with the highest recall less false alarms (Youden 1950).

    `scores` run from 0 to 1, higher is worse. Rows of one of the `groups` are kept on one side, unless that left a side without rows of both kinds.
    Raises InvalidRequest where the rows are too few or all of one kind, and Unreachable.
    """
    found, labels = np.asarray(scores, np.float64), np.asarray(bad, np.bool_)
    numbered = np.unique(list(groups), return_inverse=True)[1] if groups is not None else np.arange(len(found))
    refuse(list(bad))
    random = np.random.default_rng(seed)
    crossfitted = bool(min(labels.sum(), (~labels).sum()) < FEW)
    count = FOLDS if crossfitted else 2
    fold = _folds(numbered, labels, count, random)
    if not _mixed(labels, fold, count):
        numbered = np.arange(len(found))
        fold = _folds(numbered, labels, count, random)
    fitted = np.ones(len(found), np.bool_) if crossfitted else fold == 0
    threshold = _fit(found[fitted], labels[fitted], target)
    alarms = _alarms(found, labels, fold, target) if crossfitted else found > threshold
    told = np.ones(len(found), np.bool_) if crossfitted else ~fitted
    at = rates(alarms[told], labels[told])
    spread = [_resampled(found[fitted], labels[fitted], numbered[fitted], target, random) for _ in range(resamples)]
    drawn = [rates(alarms[told][rows], labels[told][rows]) for rows in (_draw(numbered[told], random) for _ in range(resamples)) if _both(labels[told][rows])]
    precisions = [one.precision for one in drawn if one.precision is not None]
    return Calibration(
        threshold=_estimate(threshold, [one for one in spread if one is not None]),
        precision=None if at.precision is None else _estimate(at.precision, precisions),
        recall=_estimate(at.recall, [one.recall for one in drawn]),
        fpr=_estimate(at.fpr, [one.fpr for one in drawn]),
        target=target,
        met=target is None or _keeps(at, target),
        crossfitted=crossfitted,
        good=int((~labels).sum()),
        bad=int(labels.sum()),
    )


def rates(alarms: NDArray[np.bool_], bad: NDArray[np.bool_]) -> Rates:
    """What the alarms are worth; there must be rows of both kinds."""
    raised = int(alarms.sum())
    return Rates(precision=float((alarms & bad).sum() / raised) if raised else None, recall=float(alarms[bad].mean()), fpr=float(alarms[~bad].mean()))


def refuse(labels: Sequence[bool], *, good: str = "good", bad: str = "bad") -> None:
    """Raises InvalidRequest where the rows are too few or all of one kind; `good` and `bad` are what the sentence calls them."""
    for count, kind in ((sum(not label for label in labels), good), (sum(labels), bad)):
        if count == 0 and labels:
            raise InvalidRequest(f"None of the {len(labels)} rows is {kind}: a threshold needs at least {LEAST} rows of both kinds, {good} and {bad}.")
        if count < LEAST:
            raise InvalidRequest(f"There are only {count} {kind} rows: a threshold needs at least {LEAST} of each kind, {good} and {bad}.")


def _fit(scores: NDArray[np.float64], bad: NDArray[np.bool_], target: Target | None) -> float:
    """The best of all thresholds between two neighbouring scores, and of 0 and 1. Raises Unreachable."""
    order = np.argsort(-scores, kind="stable")
    ranked, caught = scores[order], np.concatenate([[0], np.cumsum(bad[order])])
    last = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])  # cuts only between different scores
    cuts = np.flatnonzero(last)
    raised = cuts
    right = caught[cuts]
    recall, fpr = right / bad.sum(), (raised - right) / (~bad).sum()
    precision = np.divide(right, raised, out=np.zeros(len(cuts)), where=raised > 0)
    if target is None:
        best = int(np.argmax(recall - fpr))
    elif target.measure == "recall":
        best = int(np.argmax(recall >= target.value))  # the first cut, with the fewest alarms, that catches enough
    else:
        keeps = np.flatnonzero(precision >= target.value if target.measure == "precision" else fpr <= target.value)
        if not len(keeps):
            raise Unreachable(f"No threshold reaches precision {target.value:g} on these rows; the best is {precision.max():.2f}.")
        best = int(keeps[-1])  # the most alarms that keep to it
    place = int(cuts[best])
    above = float(ranked[place - 1]) if place else 1.0
    below = float(ranked[place]) if place < len(ranked) else 0.0
    # A rail raises an alarm strictly above its threshold.
    middle = (above + below) / 2
    return middle if below <= middle < above else below


def _alarms(scores: NDArray[np.float64], bad: NDArray[np.bool_], fold: NDArray[np.int64], target: Target | None) -> NDArray[np.bool_]:
    """For each row whether it raises an alarm at the threshold of the other folds."""
    alarms = np.zeros(len(scores), np.bool_)
    for number in range(FOLDS):
        here = fold == number
        alarms[here] = scores[here] > _fit(scores[~here], bad[~here], target)
    return alarms


def _resampled(
    scores: NDArray[np.float64], bad: NDArray[np.bool_], groups: NDArray[np.int64], target: Target | None, random: np.random.Generator
) -> float | None:
    rows = _draw(groups, random)
    try:
        return _fit(scores[rows], bad[rows], target) if _both(bad[rows]) else None
    except Unreachable:
        return None


def _draw(groups: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Rows of as many groups as there are, drawn with replacement."""
    distinct, starts = np.unique(np.sort(groups), return_index=True)
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, starts[1:])
    drawn: NDArray[np.int64] = np.concatenate([parts[number] for number in random.integers(len(distinct), size=len(distinct))])
    return drawn


def _folds(groups: NDArray[np.int64], bad: NDArray[np.bool_], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """A fold for each row: groups in random order, those with bad rows dealt out first, so that each fold has its share of both kinds."""
    distinct = random.permutation(np.unique(groups))
    with_bad = np.isin(distinct, groups[bad])
    dealt = np.concatenate([distinct[with_bad], distinct[~with_bad]])
    folds = np.empty(int(groups.max()) + 1, np.int64)
    folds[dealt] = np.arange(len(dealt)) % count
    found: NDArray[np.int64] = folds[groups]
    return found


def _mixed(bad: NDArray[np.bool_], fold: NDArray[np.int64], count: int) -> bool:
    """Whether every fold has rows of both kinds."""
    return all(_both(bad[fold == number]) for number in range(count))


def _both(bad: NDArray[np.bool_]) -> bool:
    return bool(bad.any() and not bad.all())


def _estimate(value: float, spread: Sequence[float]) -> Estimate:
    low, high = np.quantile(spread, [0.025, 0.975]) if len(spread) else (value, value)
    return Estimate(value=value, low=float(low), high=float(high))


def _keeps(at: Rates, target: Target) -> bool:
    if target.measure == "fpr":
        return at.fpr <= target.value
    reached = at.precision if target.measure == "precision" else at.recall
    return reached is not None and reached >= target.value
