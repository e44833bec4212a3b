"""Which token is next: the likeliest, or one drawn from the nucleus (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration")."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail.types import Sampling

_FEW = 64
"""Tokens that are tried as the nucleus before all are sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nucleus:
    """How one reply chooses its tokens, with a source of chance of its own."""

    temperature: float
    """0 takes the likeliest token, the first of several."""
    top_p: float
    """The nucleus is the fewest of the likeliest tokens that have this share of the probability, and at least one."""
    draw: random.Random

    @classmethod
    def of(cls, sampling: Sampling) -> Nucleus:
        """What is left open is greedy, and cuts nothing off. The same seed draws the same."""
        return cls(
            temperature=sampling.temperature or 0.0,
            top_p=1.0 if sampling.top_p is None else sampling.top_p,
            draw=random.Random(sampling.seed),  # noqa: S311 - samples words, guards nothing
        )

    def choose(self, logits: NDArray[np.float32]) -> int:
        """A token by its logits (vocabulary,), of which one at least is finite."""
        if self.temperature <= 0:
            return int(logits.argmax())
        chances = np.exp((logits - logits.max()).astype(np.float64) / self.temperature)
        tokens, mass = self._nucleus(chances)
        place = int(np.searchsorted(mass, self.draw.random() * mass[-1], side="right"))
        return int(tokens[min(place, len(tokens) - 1)])

    def _nucleus(self, chances: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The nucleus, likeliest first, and what it and all before it weigh together; `chances` need not add up to 1."""
        wanted = self.top_p * chances.sum()
        if self.top_p < 1 and len(chances) > _FEW:
            few = np.sort(np.argpartition(chances, -_FEW)[-_FEW:])
            if chances[few].sum() >= wanted:
                return _cut(chances, few, wanted)
        return _cut(chances, np.flatnonzero(chances), wanted)


def _cut(chances: NDArray[np.float64], among: NDArray[np.int64], wanted: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The likeliest of the tokens `among`, as many as weigh `wanted` together; of equally likely ones the lower id comes first."""
    tokens = among[np.argsort(-chances[among], kind="stable")]
    mass = np.cumsum(chances[tokens])
    count = min(int(np.searchsorted(mass, wanted, side="left")) + 1, len(tokens))
    return tokens[:count], mass[:count]
