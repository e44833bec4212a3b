"""Log-probabilities of replies and the losses of PPO, as pure functions.

Shapes: b replies of at most r tokens, v tokens in the vocabulary. `mask` is (b, r), true for the tokens of a reply, its end of turn among them; what stands
where it is false is never looked at. A mean is over the true places of the mask; `count` overrides their number, so that the parts of a batch that is too
large for one pass, or stands on several devices, add up to the mean over the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor


def token_logprobs(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """log pi(a_t | s_t) of the tokens (b, r), where `logits` (b, r, v) are those that each token was sampled from. Returns (b, r), float32.

    The logits of a token stand one place before it: `logits[:, t]` is what the model gives after reading everything before token t.
    """
    scaled = logits.float() / temperature
    return scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - scaled.logsumexp(-1)


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-sum_a pi(a | s_t) log pi(a | s_t) of each place, in nats, 0 to log v. logits: (b, r, v); returns (b, r)."""
    logprobs = torch.log_softmax(logits.float() / temperature, -1)
    return -(logprobs.exp() * logprobs).sum(-1)


def masked_mean(values: Tensor, mask: Tensor, count: Tensor | float | None = None) -> Tensor:
    """The mean of `values` (b, r) where `mask` is true, a scalar; 0 where it is true nowhere."""
    total = torch.where(mask, values, 0.0).sum()
    return total / (mask.sum().clamp(min=1) if count is None else count)


def reply_sums(values: Tensor, mask: Tensor) -> Tensor:
    """The sum of `values` (b, r) over each reply; returns (b,)."""
    return torch.where(mask, values, 0.0).sum(-1)


def kl_divergence(logprobs: Tensor, reference: Tensor, estimator: Literal["k1", "k3"] = "k1") -> Tensor:
    """Estimates of KL(pi || ref) at each token (b, r), in nats, for tokens sampled from pi (Schulman 2020, "Approximating KL divergence").

    With r = ref / pi: k1 = -log r, unbiased and of either sign; k3 = (r - 1) - log r, unbiased, never negative and of less variance.
    """
    log_ratio = reference - logprobs
    if estimator == "k1":
        return -log_ratio
    return torch.expm1(log_ratio) - log_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoss:
    """A loss and what it was made of, scalars."""

    loss: Tensor
    clipped: Tensor
    """Share of the tokens whose ratio the clip cut off."""
    kl: Tensor
    """k3 estimate of KL(old || new) a token: how far this update has moved."""


def policy_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, *, clip: float, count: Tensor | float | None = None) -> PolicyLoss:
    """The clipped surrogate (Schulman et al. 2017, eq. 7), to be minimised. All arguments are (b, r).

    L = -E_t[min(rho_t A_t, clip(rho_t, 1 - eps, 1 + eps) A_t)] with rho_t = pi(a_t | s_t) / pi_old(a_t | s_t).
    """
    log_ratio = torch.where(mask, logprobs - old_logprobs, 0.0)
    ratio = log_ratio.exp()
    plain = -advantages * ratio
    cut = -advantages * ratio.clamp(1 - clip, 1 + clip)
    with torch.no_grad():
        clipped = masked_mean((cut > plain).float(), mask, count)
        moved = masked_mean(torch.expm1(log_ratio) - log_ratio, mask, count)
    return PolicyLoss(loss=masked_mean(torch.maximum(plain, cut), mask, count), clipped=clipped, kl=moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueLoss:
    """A loss and what it was made of, scalars."""

    loss: Tensor
    clipped: Tensor
    """Share of the values that the clip held back."""


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, *, clip: float, count: Tensor | float | None = None) -> ValueLoss:
    """The clipped squared error of the critic (Schulman et al. 2017, eq. 9, with the clip of their code). All arguments are (b, r).

    L = 1/2 E_t[max((V_t - R_t)^2, (clip(V_t, V_old - eps, V_old + eps) - R_t)^2)].
    """
    held = old_values + (values - old_values).clamp(-clip, clip)
    plain = (values - returns).square()
    cut = (held - returns).square()
    with torch.no_grad():
        clipped = masked_mean((cut > plain).float(), mask, count)
    return ValueLoss(loss=0.5 * masked_mean(torch.maximum(plain, cut), mask, count), clipped=clipped)
