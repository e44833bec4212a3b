"""The encoder's layers in torch, for training on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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

    def take(self, weights: Mapping[str, NDArray[np.float32]], prefix: str) -> None:
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


class Lower(nn.Module):
    """The encoder's embeddings and the layers below the fork, which do not learn."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """weights: the encoder's own, by name."""
        super().__init__()
        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        self._scale, self._offset = (torch.from_numpy(weights[f"embeddings.LayerNorm.{kind}"].copy()) for kind in ("weight", "bias"))
        self._layers = [Layer() for _ in range(SHARED)]
        for number, layer in enumerate(self._layers):
            layer.take(weights, f"encoder.layer.{number}.")

    @torch.no_grad()
    def forward(self, ids: Sequence[NDArray[np.int32]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token numbers of each text to states (batch, length, 384) and their mask (batch, length)."""
        longest = max(map(len, ids))
        padded = np.zeros((len(ids), longest), np.int64)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = one
        mask = torch.from_numpy(padded != 0)
        states = functional.layer_norm(torch.from_numpy(self._words[padded] + self._places[:longest]), (HIDDEN,), self._scale, self._offset, eps=1e-12)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for layer in self._layers:
                states = layer(states, mask[:, None, None])
        return states, mask
