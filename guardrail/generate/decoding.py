"""Continuous batching: requests join and leave a batch between two tokens, and each gets the tokens it would get alone.

A prompt is read alone, without padding. Its key-value cache is then padded on the left and laid beside those of the batch: padded places are masked, and
positions count from each request's own first token. Short-convolution and linear-attention layers have states of fixed size, which need no padding at all.
Layers of other kinds (sliding windows, for one) are not merged: such models decode request by request, in turns.

A request may be contrasted with another prompt that gets the same tokens: then both are rows of the batch, and the next token is chosen from both.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, LinearAttentionAndFullAttentionLayer, LinearAttentionLayer

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from transformers import LogitsProcessor, PreTrainedModel

_MERGEABLE = frozenset({DynamicLayer, LinearAttentionLayer, LinearAttentionAndFullAttentionLayer})


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One request while it decodes."""

    tokens: list[int]
    """Prompt and reply so far."""
    temperature: float
    """0 takes the likeliest token."""
    top_p: float
    draw: random.Random
    """The request's own source of chance: the same seed gives the same reply in any company."""
    processors: tuple[LogitsProcessor, ...] = ()
    """Each in turn changes the logits of the next token, e.g. bans some; called with tokens (1, n) and logits (1, vocabulary)."""
    against: Row | None = None
    """The same request with less in its prompt, which `contrasted` takes the difference to. It gets this row's tokens; of its own choices none counts."""
    weight: float = 0.0
    """Alpha of `contrasted`."""


class Batch:
    """Rows that share one cache. `padding[i]` places of row i's cache, on the left, are empty."""

    __slots__ = ("cache", "padding", "rows")

    def __init__(self, row: Row, cache: Cache) -> None:
        self.rows = [row]
        self.cache = cache
        self.padding = [0]

    @property
    def length(self) -> int:
        """Places in the cache, the same for all rows."""
        return int(self.cache.get_seq_length())

    @property
    def _layers(self) -> list[Any]:  # the library types a layer's tensors as optional until its first use, which has been
        return self.cache.layers

    @property
    def mergeable(self) -> bool:
        return all(type(layer) in _MERGEABLE for layer in self._layers)

    def join(self, other: Batch) -> None:
        """Take over the rows of `other`."""
        ours, theirs = self.length, other.length
        length = max(ours, theirs)
        for layer, added in zip(self._layers, other._layers, strict=True):
            if _has_keys(layer):
                layer.keys = torch.cat([_pad_left(layer.keys, length), _pad_left(added.keys, length)])
                layer.values = torch.cat([_pad_left(layer.values, length), _pad_left(added.values, length)])
            if _has_states(layer):
                for states, more in ((layer.conv_states, added.conv_states), (layer.recurrent_states, added.recurrent_states)):
                    for i, state in states.items():
                        if state is not None:
                            states[i] = torch.cat([state, more[i]])
        self.padding = [n + length - ours for n in self.padding] + [n + length - theirs for n in other.padding]
        self.rows += other.rows

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all but `rows` (indices), and the padding that none of them needs."""
        trim = min(self.padding[i] for i in rows)
        for layer in self._layers:
            if _has_keys(layer):
                layer.keys, layer.values = layer.keys[rows][:, :, trim:], layer.values[rows][:, :, trim:]
            if _has_states(layer):
                for states in (layer.conv_states, layer.recurrent_states):
                    for i, state in states.items():
                        if state is not None:
                            states[i] = state[rows]
        self.padding = [self.padding[i] - trim for i in rows]
        self.rows = [self.rows[i] for i in rows]


class Decoder:
    """Decodes rows together. Not thread-safe: one thread owns it."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._batches: list[Batch] = []
        parameters = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._positioned = "position_ids" in parameters

    def add(self, row: Row) -> int:
        """Read the row's prompt and let it join; returns its first token, which is also appended to `row.tokens`."""
        batches, logits = zip(*map(self._read, (row,) if row.against is None else (row, row.against)), strict=True)
        ((_, token),) = _choose(torch.cat(logits), [row] if row.against is None else [row, row.against])
        for batch in batches:
            if self._batches and batch.mergeable:
                self._batches[0].join(batch)
            else:
                self._batches.append(batch)
        return token

    def step(self) -> list[tuple[Row, int]]:
        """One more token for every row that was added, appended to its `tokens`."""
        if not self._batches:
            return []
        return _choose(torch.cat([self._next(batch) for batch in self._batches]), [row for batch in self._batches for row in batch.rows])

    def remove(self, gone: Sequence[Row]) -> None:
        """Let rows leave; their places are free at once."""
        leaving = {*gone, *(row.against for row in gone)}
        for batch in self._batches:
            kept = [i for i, row in enumerate(batch.rows) if row not in leaving]
            if not kept:
                batch.rows = []
            elif len(kept) < len(batch.rows):
                batch.keep(kept)
        self._batches = [batch for batch in self._batches if batch.rows]

    def _read(self, row: Row) -> tuple[Batch, Tensor]:
        """Read a prompt by itself; the logits (1, vocabulary) of what follows it."""
        ids = torch.tensor([row.tokens], device=self._model.device)
        cache = DynamicCache(config=self._model.config)
        output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **self._last_only)
        return Batch(row, cache), output.logits[:, -1]

    def _next(self, batch: Batch) -> Tensor:
        """The logits (rows, vocabulary) of the next token."""
        device, length = self._model.device, batch.length
        padding = torch.tensor(batch.padding, device=device)
        arguments = {"position_ids": (length - padding)[:, None]} if self._positioned else {}
        if any(batch.padding):
            arguments["attention_mask"] = (torch.arange(length + 1, device=device)[None, :] >= padding[:, None]).long()
        ids = torch.tensor([row.tokens[-1:] for row in batch.rows], device=device)
        output = self._model(input_ids=ids, past_key_values=batch.cache, use_cache=True, **arguments, **self._last_only)
        logits: Tensor = output.logits[:, -1]
        return logits


def _has_keys(layer: Any) -> bool:
    return isinstance(layer, DynamicLayer)


def _has_states(layer: Any) -> bool:
    return isinstance(layer, LinearAttentionLayer)


def _pad_left(states: Tensor, length: int) -> Tensor:
    """Zeros before the places of `states` (rows, heads, places, width)."""
    missing = length - states.shape[-2]
    return torch.nn.functional.pad(states, (0, 0, missing, 0)) if missing else states


def contrasted(supplied: Tensor, bare: Tensor, alpha: float) -> Tensor:
    """Logits of context-aware decoding (Shi et al. 2023, "Trusting Your Evidence"), from those with the passages and those without, all (vocabulary,).

    y_t ~ softmax[(1 + alpha) logit(y_t | c, x, y_<t) - alpha logit(y_t | x, y_<t)]
    """
    return (1 + alpha) * supplied - alpha * bare


def _choose(logits: Tensor, rows: Sequence[Row]) -> list[tuple[Row, int]]:
    """The next token of every row that stands for itself, from logits (rows, vocabulary), by nucleus sampling (Holtzman et al. 2020); appended to `tokens`."""
    logits = logits.float()
    number = {row: i for i, row in enumerate(rows)}
    contrasting = {row.against for row in rows}
    chosen = [row for row in rows if row not in contrasting]
    if len(chosen) < len(rows):
        bare = logits
        logits = logits[[number[row] for row in chosen]]
        for i, row in enumerate(chosen):
            if row.against is not None:
                logits[i] = contrasted(logits[i], bare[number[row.against]], row.weight)
    for i, row in enumerate(chosen):
        for processor in row.processors:
            logits[i] = processor(torch.tensor([row.tokens], device=logits.device), logits[i : i + 1])[0]
    tokens = logits.argmax(dim=-1).tolist()
    drawn = [i for i, row in enumerate(chosen) if row.temperature > 0]
    if drawn:
        temperature = torch.tensor([chosen[i].temperature for i in drawn], device=logits.device)
        top_p = torch.tensor([chosen[i].top_p for i in drawn], device=logits.device)
        chance = torch.tensor([chosen[i].draw.random() for i in drawn], device=logits.device)
        probability, order = (logits[drawn] / temperature[:, None]).softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
        before = probability.cumsum(dim=-1) - probability
        nucleus = (probability * ((before < top_p[:, None]) | (before == 0))).cumsum(dim=-1)
        place = torch.searchsorted(nucleus, (chance * nucleus[:, -1])[:, None], right=True).clamp(max=logits.shape[-1] - 1)
        for i, token in zip(drawn, order.gather(-1, place)[:, 0].tolist(), strict=True):
            tokens[i] = token
    for row, token in zip(chosen, tokens, strict=True):
        row.tokens.append(token)
        if row.against is not None:
            row.against.tokens.append(token)
    return list(zip(chosen, map(int, tokens), strict=True))
