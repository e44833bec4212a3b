"""Weights from which a network copies out of its context before it has learned anything.

Small models learn to copy late or, on few tokens, never (docs/log.md). What they would have to find are induction heads (Olsson et al. 2022): a token is told
which tokens stood before it, and attention looks for a place with the same tokens before it and says what stands there. An Lfm2 can be given that: its first
short convolution hands on the two tokens before, and its attention layers match and copy. Training then only has to refine it. The construction is our own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Lfm2ForCausalLM

THETA = 1e6
"""Base of the rotary positions: most of a head's pairs then turn so slowly that a match counts wherever it stands."""
_EMBEDDING, _NOISE = 0.05, 0.02
_HANDED_ON = 0.05
"""Size of what a token is told of each of the two before it, relative to a unit embedding."""
_SHARPNESS = 5.0
"""Scale of normalised queries: how much a match outweighs everything else."""
_COPIED = 0.5
"""How much of the token that was found is added."""
_SLOW = 1 / 150
"""Radians a token below which a rotary pair counts as slow."""
_OTHER_LAYERS = 0.2
"""What feed-forward layers begin with, relative to the library's start: they should not drown what is copied."""


@torch.no_grad()
def begin(model: Lfm2ForCausalLM, *, seed: int) -> None:
    """Overwrite the weights of a new model, the same for the same seed. Its kinds of layers must begin with a convolution, which must have biases."""
    chance = torch.Generator().manual_seed(seed)
    hidden = int(model.config.hidden_size)
    half = hidden // 2
    shown = _rotation(hidden, chance)[:half]
    """What of a token is handed on: (half, hidden)."""
    kept = _rotation(hidden, chance)
    one_before, two_before = kept[:, :half], kept[:, half:]
    """Where it is kept, for the token before and the one before that: (hidden, half) each."""
    model.model.embed_tokens.weight.normal_(0, _EMBEDDING, generator=chance)
    model.model.embed_tokens.weight[model.config.pad_token_id] = 0
    first, attentions = True, 0
    for layer in model.model.layers:
        if layer.is_attention_layer:
            _match_and_copy(layer.self_attn, shown, one_before, two_before, same=attentions == 1, chance=chance)
            attentions += 1
        else:
            _pass_on(layer.conv, chance)
            if first:
                _hand_on(layer.conv, shown, one_before, two_before)
                first = False
        layer.feed_forward.w2.weight.mul_(_OTHER_LAYERS)


def _pass_on(conv: Any, chance: torch.Generator) -> None:
    """A convolution whose gates stand open and which adds next to nothing."""
    hidden = conv.out_proj.weight.shape[0]
    conv.in_proj.weight.normal_(0, _NOISE, generator=chance)
    conv.in_proj.weight[2 * hidden :] = _rotation(hidden, chance)
    conv.in_proj.bias.zero_()
    conv.in_proj.bias[: 2 * hidden] = 1.0
    conv.conv.weight.normal_(0, _EMBEDDING, generator=chance)
    conv.conv.weight[:, 0, -3:] = 0.5
    conv.conv.bias.zero_()
    conv.out_proj.weight.normal_(0, 0.005, generator=chance)
    conv.out_proj.bias.zero_()


def _hand_on(conv: Any, shown: Tensor, one_before: Tensor, two_before: Tensor) -> None:
    """One half of the channels carries the token before, the other the one before that."""
    hidden, half = one_before.shape
    conv.in_proj.weight[2 * hidden :] = torch.cat([shown, shown])
    conv.conv.weight.zero_()
    conv.conv.weight[:half, 0, -2] = 1.0
    conv.conv.weight[half:, 0, -3] = 1.0
    conv.out_proj.weight.copy_(torch.cat([one_before, two_before], dim=1) * _HANDED_ON)


def _match_and_copy(attention: Any, shown: Tensor, one_before: Tensor, two_before: Tensor, *, same: bool, chance: torch.Generator) -> None:
    """Queries hold this token and the one before it, keys the two before theirs; the value is the token itself, laid back where it came from.

    With `same`, half of the heads match a token with the same token instead.
    """
    half, hidden = shown.shape
    width = attention.head_dim
    heads = attention.k_proj.weight.shape[0] // width
    shared = attention.q_proj.weight.shape[0] // attention.k_proj.weight.shape[0]
    turning = THETA ** (-torch.arange(width // 2) / (width // 2))
    slow = (turning < _SLOW).float().repeat(2)[None, :, None]
    nearer, farther = (torch.randn(heads, width, half, generator=chance) * slow / math.sqrt(half) for _ in range(2))
    query = nearer @ shown + farther @ one_before.T
    key = nearer @ one_before.T + farther @ two_before.T
    if same:
        key[: heads // 2] = query[: heads // 2] = (nearer @ shown)[: heads // 2]
    query, key = (one + torch.randn(one.shape, generator=chance) * 0.03 / math.sqrt(hidden) for one in (query, key))
    attention.q_proj.weight.copy_(query.repeat_interleave(shared, 0).reshape(-1, hidden))
    attention.k_proj.weight.copy_(key.reshape(-1, hidden))
    attention.q_layernorm.weight.fill_(_SHARPNESS)
    attention.k_layernorm.weight.fill_(1.0)
    value = _rotation(hidden, chance)[: heads * width]
    attention.v_proj.weight.copy_(value)
    back = value.view(heads, width, hidden).repeat_interleave(shared, 0).reshape(-1, hidden)
    attention.out_proj.weight.copy_(back.T * _COPIED / shared)


def _rotation(size: int, chance: torch.Generator) -> Tensor:
    rotation: Tensor = torch.linalg.qr(torch.randn(size, size, generator=chance))[0]
    return rotation
