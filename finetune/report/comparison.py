"""How far one figure lies from another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrail.finetune.stage import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference with its 95 % interval, None where one of the two is no estimate."""

    value: float
    low: float | None = None
    high: float | None = None
    better: bool | None = None
    """Whether it is for the good; None: neither, or its interval holds 0."""


def change(figure: Figure, before: Figure) -> Change:
    """`figure` less `before`.

    The interval is put together from those of the two (MOVER, Zou & Donner 2008; with Wilson intervals of shares it is Newcombe's 1998 method 10):
    d - sqrt((v1 - l1)^2 + (u2 - v2)^2), d + sqrt((u1 - v1)^2 + (v2 - l2)^2). It takes the two for independent, so where both are of the same rows it is wide.
    """
    value = figure.value - before.value
    if figure.low is None or figure.high is None or before.low is None or before.high is None:
        known = figure.low is figure.high is before.low is before.high is None  # counts, not estimates
        return Change(value=value, better=_better(figure, value) if known else None)
    low = value - math.hypot(figure.value - figure.low, before.high - before.value)
    high = value + math.hypot(figure.high - figure.value, before.value - before.low)
    return Change(value=value, low=low, high=high, better=None if low <= 0 <= high else _better(figure, value))


def _better(figure: Figure, value: float) -> bool | None:
    if figure.better is None or value == 0:
        return None
    return (value > 0) == (figure.better == "higher")
