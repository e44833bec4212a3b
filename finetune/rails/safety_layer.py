"""One layer of the encoder in torch, for training on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

HEADS, HIDDEN = 12, 384
SHARED, LAYERS = 3, 6
"""Layers below the fork, and all of them."""


class Layer(nn.Module):
    """One transformer layer of BERT (Devlin et al. 2019), post-norm."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.attended = nn.Linear(HIDDEN, HIDDEN)
        self.norm1 = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.inner = nn.Linear(HIDDEN, 4 * HIDDEN)
        self.outer = nn.Linear(4 * HIDDEN, HIDDEN)
        self.norm2 = nn.LayerNorm(HIDDEN, eps=1e-12)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """states (batch, length, 384), mask (batch, 1, 1, length) boolean."""
        batch, length, _ = states.shape
        query, value_key, value = self.qkv(states).view(batch, length, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(query, value_key, value, attn_mask=mask).transpose(1, 2).reshape(batch, length, HIDDEN)
        states = self.norm1(states + self.attended(found))
        found = self.outer(functional.gelu(self.inner(states)))
        normed: torch.Tensor = self.norm2(states + found)
        return normed

    def take(self, weights: dict[str, NDArray[np.float32]], prefix: str) -> None:
        """Copy the layer's weights from the encoder's, whose names begin with `prefix`."""
        for name, module in self._named():
            for kind in ("weight", "bias"):
                parts = [weights[f"{prefix}{one}.{kind}"] for one in name]
                getattr(module, kind).data = torch.from_numpy(np.concatenate(parts).copy())

    def give(self, prefix: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The layer's weights under the encoder's names."""
        for name, module in self._named():
            for kind in ("weight", "bias"):
                values = getattr(module, kind).detach().numpy()
                for one, part in zip(name, np.split(values, len(name)), strict=True):
                    yield f"{prefix}{one}.{kind}", part

    def _named(self) -> tuple[tuple[tuple[str, ...], nn.Module], ...]:
        return (
            (("attention.self.query", "attention.self.key", "attention.self.value"), self.qkv),
            (("attention.output.dense",), self.attended),
            (("attention.output.LayerNorm",), self.norm1),
            (("intermediate.dense",), self.inner),
            (("output.dense",), self.outer),
            (("output.LayerNorm",), self.norm2),
        )
