"""From the score of a reply to what each of its tokens did better than expected, as pure functions.

Shapes as in `guardrail.finetune.training.losses`: b replies of at most r tokens; `mask` (b, r) is true for the tokens of a reply.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, coefficient: float) -> Tensor:
    """The reward of each token (Ziegler et al. 2019, eq. 2, token by token): -beta kl_t, and the score of the reply at its last token.

    scores: (b,); kl: (b, r), the k1 estimate; returns (b, r). A reply without a token has no reward.
    """
    rewards = torch.where(mask, -coefficient * kl, 0.0)
    return rewards + torch.where(_last(mask), scores.unsqueeze(-1), 0.0)


def _last(mask: Tensor) -> Tensor:
    """True at the last true place of each row."""
    following = torch.nn.functional.pad(mask[:, 1:], (0, 1), value=False)
    return mask & ~following


def missing_eos(scores: Tensor, ended: Tensor, *, penalty: float) -> Tensor:
    """The scores (b,), less `penalty` where a reply was cut off instead of ending by itself (after the EOS trick of Huang et al. 2024)."""
    return scores - penalty * (~ended).float()


def generalized_advantages(rewards: Tensor, values: Tensor, mask: Tensor, *, discount: float, gae_lambda: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16). Returns (b, r), 0 outside the mask; the returns are advantages + values.

    A_t = sum_l (gamma lambda)^l delta_{t+l} with delta_t = r_t + gamma V_{t+1} - V_t; after the last token of a reply V is 0.
    """
    values = torch.where(mask, values, 0.0)
    rewards = torch.where(mask, rewards, 0.0)
    advantages = torch.zeros_like(values)
    ahead = torch.zeros_like(values[:, 0])
    following = torch.zeros_like(values[:, 0])
    for step in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, step] + discount * following - values[:, step]
        ahead = torch.where(mask[:, step], delta + discount * gae_lambda * ahead, 0.0)
        advantages[:, step] = ahead
        following = values[:, step]
    return advantages


def whiten(values: Tensor, mask: Tensor, *, total: Callable[[Tensor], Tensor] = lambda sums: sums) -> Tensor:
    """`values` (b, r) with mean 0 and variance 1 over the true places of the mask, of all devices; 0 outside it.

    `total` adds a vector up over the devices (`accelerator.reduce`); without it there is one. Two passes: squares of large values lose no precision.
    """
    kept = torch.where(mask, values, 0.0)
    sums = total(torch.stack([kept.sum(), mask.sum().to(values.dtype)]))
    count = sums[1].clamp(min=1)
    centred = torch.where(mask, values - sums[0] / count, 0.0)
    variance = total(centred.square().sum().unsqueeze(0))[0] / count
    return centred * torch.rsqrt(variance + 1e-8)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor, *, total: Callable[[Tensor], Tensor] = lambda sums: sums) -> Tensor:
    """1 - Var(R - V) / Var(R), a scalar: 1 for a perfect critic, 0 for one that knows the mean only, below that for a harmful one. 0 where R is constant."""
    count = total(mask.sum().to(returns.dtype).unsqueeze(0))[0].clamp(min=1)
    sizes = []
    for part in (returns - values, returns):
        mean = total(torch.where(mask, part, 0.0).sum().unsqueeze(0))[0] / count
        sizes.append(total(torch.where(mask, part - mean, 0.0).square().sum().unsqueeze(0))[0] / count)
    error, spread = sizes
    return torch.where(spread > 1e-12, 1 - error / spread.clamp(min=1e-12), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KlController:
    """The weight of the KL penalty (Ziegler et al. 2019, section 2.2): proportional control in log space, or fixed where there is no target.

    e = clip((KL - target) / target, -0.2, 0.2); beta <- beta (1 + e n / horizon), n replies later.
    """

    coefficient: float
    target: float | None = None
    horizon: int = 10_000

    def after(self, kl: float, replies: int) -> KlController:
        """The controller after an update on `replies` replies that lay `kl` nats from the reference on average."""
        if self.target is None:
            return self
        error = min(0.2, max(-0.2, (kl - self.target) / self.target))
        return replace(self, coefficient=self.coefficient * (1 + error * replies / self.horizon))
