"""Kernel logistic regression (Zhu & Hastie 2005) on a few landmarks (Nyström; Williams & Seeger 2001): a smooth, non-linear score in plain numpy.

p(x) = 1 / (1 + exp(-(b + sum_i w_i exp(-gamma |z(x) - l_i|^2)))),    z(x) = clip((x - mean) / scale, -4, 4)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

REACH = 4.0
"""A figure further than this from its mean, in standard deviations, says no more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelRegression:
    """A fitted model for d figures and n landmarks."""

    mean: NDArray[np.float32]
    """(d,)"""
    scale: NDArray[np.float32]
    """(d,)"""
    landmarks: NDArray[np.float32]
    """(n, d), standardised."""
    weights: NDArray[np.float32]
    """(n,)"""
    bias: float
    gamma: float

    @classmethod
    def unpack(cls, stored: Mapping[str, NDArray[np.generic]]) -> KernelRegression:
        """The model that was packed. Raises KeyError or ValueError where the arrays are not those of one."""
        mean, scale, landmarks, weights, last = (stored[name].astype(np.float32) for name in ("mean", "scale", "landmarks", "weights", "last"))
        if mean.shape != scale.shape or landmarks.shape != (len(weights), len(mean)) or last.shape != (2,):
            raise ValueError("the shapes do not fit together")
        return cls(mean=mean, scale=scale, landmarks=landmarks, weights=weights, bias=float(last[0]), gamma=float(last[1]))

    def pack(self) -> dict[str, NDArray[np.float32]]:
        """The arrays to store."""
        last = np.array([self.bias, self.gamma], np.float32)
        return {"mean": self.mean, "scale": self.scale, "landmarks": self.landmarks, "weights": self.weights, "last": last}

    def probabilities(self, figures: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows (m, d) to probabilities (m,)."""
        standard = np.clip((figures - self.mean) / self.scale, -REACH, REACH)
        distances = ((standard[:, None] - self.landmarks) ** 2).sum(axis=2)
        logits = np.exp(-self.gamma * distances) @ self.weights + self.bias
        found: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -50, 50)))
        return found
