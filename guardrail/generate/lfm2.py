"""The forward pass of an Lfm2 causal model in NumPy: short convolutions and grouped-query attention in turns (Liquid AI's LFM2, as transformers 5 computes it).

Every matrix is kept as (in, out), so that one token is a row times a contiguous matrix: with OpenBLAS a head of 6144 x 256 takes two fifths of the time that
the stored layout takes. What follows from the weights alone is done once, when they are read: the gains of a norm are multiplied into the matrix behind it,
the scale of attention into the norm of the queries, and matrices with the same input are laid side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from guardrail.generate import lfm2_config
from guardrail.generate.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.generate.lfm2_config import Lfm2Config

    Floats = NDArray[np.float32]

_BLOCK = 256
"""Tokens of a prompt that are read at once: the scores of attention grow with this times what stands before."""


@dataclass(slots=True, kw_only=True)
class ConvState:
    """What a short convolution keeps."""

    tail: Floats
    """Its last inputs, (taps - 1, hidden)."""


@dataclass(slots=True, kw_only=True)
class AttentionState:
    """What an attention layer keeps: keys and values, (key-value heads, capacity, head width) each."""

    keys: Floats
    values: Floats


@dataclass(slots=True, kw_only=True)
class State:
    """What a model has read of one text. Made by `Lfm2.state`, changed by `Lfm2.read`."""

    capacity: int
    """Most tokens it can hold."""
    layers: list[ConvState | AttentionState]
    length: int = 0
    """Tokens read so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rotation:
    """Cosines and sines of rotary positions, (n, 1, head width / 2) each (Su et al. 2021, "RoFormer", halves turned as GPT-NeoX does)."""

    cosines: Floats
    sines: Floats

    def turn(self, heads: Floats) -> Floats:
        """Heads of shape (n, heads, head width), turned to their positions."""
        half = heads.shape[-1] // 2
        first, second = heads[..., :half], heads[..., half:]
        turned = np.empty_like(heads)
        np.multiply(first, self.cosines, out=turned[..., :half])
        turned[..., :half] -= second * self.sines
        np.multiply(second, self.cosines, out=turned[..., half:])
        turned[..., half:] += first * self.sines
        return turned


@dataclass(frozen=True, slots=True, kw_only=True)
class _Convolution:
    """A gated short convolution over the tokens, each channel by itself."""

    into: Floats
    """(hidden, 3 hidden): both gates and the input."""
    into_bias: Floats | None
    taps: Floats
    """(taps, hidden), the oldest first."""
    taps_bias: Floats | None
    out: Floats
    out_bias: Floats | None

    def apply(self, x: Floats, state: ConvState) -> Floats:
        rows, hidden = x.shape
        gated = x @ self.into
        if self.into_bias is not None:
            gated += self.into_bias
        taps = len(self.taps)
        inputs = np.empty((taps - 1 + rows, hidden), np.float32)
        inputs[: taps - 1] = state.tail
        np.multiply(gated[:, :hidden], gated[:, 2 * hidden :], out=inputs[taps - 1 :])
        mixed = inputs[:rows] * self.taps[0]
        for number in range(1, taps):
            mixed += inputs[number : number + rows] * self.taps[number]
        if self.taps_bias is not None:
            mixed += self.taps_bias
        state.tail[:] = inputs[rows:]
        mixed *= gated[:, hidden : 2 * hidden]
        result: Floats = mixed @ self.out
        if self.out_bias is not None:
            result += self.out_bias
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attention:
    """Causal attention where `groups` queries share a key and a value (Ainslie et al. 2023), queries and keys normed before they are turned."""

    into: Floats
    """(hidden, (heads + 2 key-value heads) head width): queries, keys, values."""
    gains: Floats
    """Of the norms of queries and keys, (heads + key-value heads, head width)."""
    out: Floats
    groups: int
    epsilon: float

    def apply(self, x: Floats, state: AttentionState, past: int, rotation: _Rotation) -> Floats:
        rows, shared, width = len(x), len(state.keys), self.gains.shape[-1]
        heads = shared * self.groups
        total = past + rows
        projected = (x @ self.into).reshape(rows, heads + 2 * shared, width)
        turned = rotation.turn(_normed(projected[:, : heads + shared], self.epsilon) * self.gains)
        state.keys[:, past:total] = turned[:, heads:].swapaxes(0, 1)
        state.values[:, past:total] = projected[:, heads + shared :].swapaxes(0, 1)
        queries = turned[:, :heads].reshape(rows, shared, self.groups, width).transpose(1, 2, 0, 3).reshape(shared, self.groups * rows, width)
        scores: Floats = queries @ state.keys[:, :total].swapaxes(1, 2)
        if rows > 1:
            scores.reshape(shared, self.groups, rows, total)[..., past:] += _hidden_ahead(rows)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        np.divide(scores, scores.sum(axis=-1, keepdims=True), out=scores)
        read: Floats = (scores @ state.values[:, :total]).reshape(shared, self.groups, rows, width)
        result: Floats = read.transpose(2, 0, 1, 3).reshape(rows, heads * width) @ self.out
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    mixer: _Convolution | _Attention
    wide: Floats
    """(hidden, 2 feed-forward): half the gate, and what it gates (SwiGLU, Shazeer 2020)."""
    narrow: Floats
    """(feed-forward, hidden)."""

    def feed_forward(self, x: Floats) -> Floats:
        both = x @ self.wide
        gate, gated = both[:, : len(self.narrow)], both[:, len(self.narrow) :]
        # x sigmoid(x) is h + h tanh(h) with h = x / 2, which overflows nowhere.
        opened = np.tanh(gate)
        opened += 1
        opened *= gate
        opened *= gated
        result: Floats = opened @ self.narrow
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Lfm2:
    """A model. Read-only once made: several threads may read, each into states of its own. Weights and states are float32."""

    config: Lfm2Config
    embeddings: Floats = field(repr=False)
    """(vocabulary, hidden)."""
    layers: tuple[_Layer, ...] = field(repr=False)
    head: Floats = field(repr=False)
    """(hidden, vocabulary), with the gains of the last norm in it."""
    frequencies: Floats = field(repr=False)
    """Of the rotary positions, (head width / 2,), in radians a token."""

    def state(self, capacity: int) -> State:
        """The state of a text of which nothing has been read, with room for `capacity` tokens."""
        config = self.config
        layers: list[ConvState | AttentionState] = []
        for layer in self.layers:
            if isinstance(layer.mixer, _Convolution):
                layers.append(ConvState(tail=np.zeros((config.conv_L_cache - 1, config.hidden_size), np.float32)))
            else:
                shape = (config.num_key_value_heads, capacity, config.head_width)
                layers.append(AttentionState(keys=np.empty(shape, np.float32), values=np.empty(shape, np.float32)))
        return State(capacity=capacity, layers=layers)

    def read(self, tokens: Sequence[int], state: State) -> Floats:
        """Read at least one token behind what `state` holds, which is then part of it; the logits (vocabulary,) of what follows the last one.

        Raises ValueError where there is no token, no room for them, or one is not in the vocabulary; the state is then as it was.
        """
        self._check(tokens, state)
        hidden = np.empty((0, self.config.hidden_size), np.float32)
        for start in range(0, len(tokens), _BLOCK):
            hidden = self._advance(tokens[start : start + _BLOCK], state)
        logits: Floats = self._logits(hidden[-1:])[0]
        return logits

    def read_all(self, tokens: Sequence[int], state: State) -> Floats:
        """As `read`, with the logits behind every token: (n, vocabulary)."""
        self._check(tokens, state)
        return np.concatenate([self._logits(self._advance(tokens[start : start + _BLOCK], state)) for start in range(0, len(tokens), _BLOCK)])

    def _check(self, tokens: Sequence[int], state: State) -> None:
        if not tokens:
            raise ValueError("There is no token to read.")
        if state.length + len(tokens) > state.capacity:
            raise ValueError(f"The state holds {state.length} tokens of at most {state.capacity}, and {len(tokens)} more are to be read.")
        if min(tokens) < 0 or max(tokens) >= len(self.embeddings):
            raise ValueError(f"A token is not in the vocabulary of {len(self.embeddings)}.")

    def _advance(self, tokens: Sequence[int], state: State) -> Floats:
        """What the last layer makes of these tokens, (n, hidden)."""
        past = state.length
        positions = np.arange(past, past + len(tokens), dtype=np.float32)
        angles = (positions[:, None] * self.frequencies)[:, None]
        rotation = _Rotation(cosines=np.cos(angles), sines=np.sin(angles))
        epsilon = self.config.norm_eps
        x: Floats = self.embeddings[list(tokens)]
        for layer, kept in zip(self.layers, state.layers, strict=True):
            mixer = layer.mixer
            if isinstance(mixer, _Convolution):
                assert isinstance(kept, ConvState)
                x += mixer.apply(_normed(x, epsilon), kept)
            else:
                assert isinstance(kept, AttentionState)
                x += mixer.apply(_normed(x, epsilon), kept, past, rotation)
            x += layer.feed_forward(_normed(x, epsilon))
        state.length = past + len(tokens)
        return x

    def _logits(self, hidden: Floats) -> Floats:
        logits: Floats = _normed(hidden, self.config.norm_eps) @ self.head
        return logits


def load(folder: Path) -> Lfm2:
    """The model in a folder with config.json and model.safetensors. Raises ConfigurationError where it is none, of another architecture, or damaged."""
    config = lfm2_config.load(folder)
    weights = Weights(folder / "model.safetensors")
    hidden, vocabulary, width = config.hidden_size, config.vocab_size, config.head_width
    embeddings = weights.take("model.embed_tokens.weight", (vocabulary, hidden))
    head = embeddings if config.tied else weights.take("lm_head.weight", (vocabulary, hidden))
    gains = weights.take("model.embedding_norm.weight", (hidden,))
    return Lfm2(
        config=config,
        embeddings=embeddings,
        layers=tuple(_layer(weights, config, number) for number in range(config.num_hidden_layers)),
        head=_beside(gains, head),
        frequencies=(config.theta ** (-np.arange(0, width, 2, dtype=np.float32) / width)).astype(np.float32),
    )


def _layer(weights: Weights, config: Lfm2Config, number: int) -> _Layer:
    name = f"model.layers.{number}"
    hidden, wide = config.hidden_size, config.feed_forward
    gains = weights.take(f"{name}.operator_norm.weight", (hidden,))
    make = _convolution if config.layers[number] == "conv" else _attention
    gate = weights.take(f"{name}.feed_forward.w1.weight", (wide, hidden)) * np.float32(0.5)
    gated = weights.take(f"{name}.feed_forward.w3.weight", (wide, hidden))
    return _Layer(
        mixer=make(weights, config, name, gains),
        wide=_beside(weights.take(f"{name}.ffn_norm.weight", (hidden,)), gate, gated),
        narrow=np.ascontiguousarray(weights.take(f"{name}.feed_forward.w2.weight", (hidden, wide)).T),
    )


def _convolution(weights: Weights, config: Lfm2Config, layer: str, gains: Floats) -> _Convolution:
    name, hidden, taps = f"{layer}.conv", config.hidden_size, config.conv_L_cache

    def bias(of: str, size: int) -> Floats | None:
        return weights.take(f"{name}.{of}.bias", (size,)) if config.conv_bias else None

    return _Convolution(
        into=_beside(gains, weights.take(f"{name}.in_proj.weight", (3 * hidden, hidden))),
        into_bias=bias("in_proj", 3 * hidden),
        taps=np.ascontiguousarray(weights.take(f"{name}.conv.weight", (hidden, 1, taps))[:, 0].T),
        taps_bias=bias("conv", hidden),
        out=np.ascontiguousarray(weights.take(f"{name}.out_proj.weight", (hidden, hidden)).T),
        out_bias=bias("out_proj", hidden),
    )


def _attention(weights: Weights, config: Lfm2Config, layer: str, gains: Floats) -> _Attention:
    name, hidden, width = f"{layer}.self_attn", config.hidden_size, config.head_width
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    queries = weights.take(f"{name}.q_layernorm.weight", (width,)) * np.float32(width**-0.5)
    keys = weights.take(f"{name}.k_layernorm.weight", (width,))
    matrices = [weights.take(f"{name}.{part}_proj.weight", (count * width, hidden)) for part, count in (("q", heads), ("k", shared), ("v", shared))]
    return _Attention(
        into=_beside(gains, *matrices),
        gains=np.concatenate([np.tile(queries, (heads, 1)), np.tile(keys, (shared, 1))]),
        out=np.ascontiguousarray(weights.take(f"{name}.out_proj.weight", (hidden, heads * width)).T),
        groups=heads // shared,
        epsilon=config.norm_eps,
    )


def _beside(gains: Floats, *matrices: Floats) -> Floats:
    """Matrices (out, in) side by side as one (in, outs), with the gains (in,) of the norm before them multiplied in."""
    joined = np.empty((len(gains), sum(map(len, matrices))), np.float32)
    start = 0
    for matrix in matrices:
        np.multiply(matrix.T, gains[:, None], out=joined[:, start : start + len(matrix)])
        start += len(matrix)
    return joined


def _normed(x: Floats, epsilon: float) -> Floats:
    """RMSNorm (Zhang and Sennrich 2019) over the last axis, without its gains."""
    mean = np.einsum("...i,...i->...", x, x)[..., None]
    mean /= x.shape[-1]
    mean += epsilon
    normed: Floats = x / np.sqrt(mean)
    return normed


def _hidden_ahead(rows: int) -> Floats:
    """(rows, rows): 0 where a token may look, minus infinity where it comes later."""
    return np.triu(np.full((rows, rows), -np.inf, np.float32), 1)
