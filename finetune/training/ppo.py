"""Proximal policy optimisation of a language model (Schulman et al. 2017; Ziegler et al. 2019; Ouyang et al. 2022): the loop around the pure functions.

One update: replies are sampled to the next prompts; each is scored, pays for every nat it lies from the reference, and is compared token by token with what
the critic expected; policy and critic then take a few steps on these replies. All of it runs on one device or on several (data parallel): every mean is over
the replies of all devices, and the batch stays the same however many there are.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grad_norm_

from guardrail.errors import FinetuneError
from guardrail.finetune.training.advantages import (
    KlController,
    explained_variance,
    generalized_advantages,
    missing_eos,
    token_rewards,
    whiten,
)
from guardrail.finetune.training.alarm import Observation
from guardrail.finetune.training.losses import kl_divergence, policy_loss, reply_sums, value_loss
from guardrail.finetune.training.rollout import drift, repetition, rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accelerate import Accelerator
    from torch import Tensor

    from guardrail.finetune.recipe import PpoSettings
    from guardrail.finetune.rewards import Reward, Term
    from guardrail.finetune.training.policy import Reference
    from guardrail.finetune.training.rollout import Question, Reply, Rows, Sampler


DRIFT = 0.2
"""Nats a token that a server's log-probabilities may lie from the policy's on average; arithmetic of half the precision makes a tenth of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experience:
    """Replies and all that is known of them before the policy changes; b rows of this device, replies of at most r tokens."""

    rows: Rows
    logprobs: Tensor
    """Of the policy that sampled them, (b, r)."""
    values: Tensor
    """(b, r)"""
    advantages: Tensor
    """Whitened over all devices, (b, r)."""
    returns: Tensor
    """(b, r)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What one update saw: means over the replies of all devices."""

    seen: Observation
    metrics: Mapping[str, float]


class Diverged(Exception):
    """In this update a probability or a gradient was no number; no further step was taken."""

    def __init__(self, update: int) -> None:
        super().__init__(update)
        self.update = update


def order(update: int, *, batch: int, count: int, seed: int) -> list[int]:
    """Which of `count` prompts update number `update` (from 1) takes: each epoch goes through all of them in an order of its own."""
    orders: dict[int, list[int]] = {}
    found = []
    for place in range((update - 1) * batch, update * batch):
        epoch, row = divmod(place, count)
        if epoch not in orders:
            orders[epoch] = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)).tolist()
        found.append(orders[epoch][row])
    return found


class Ppo:
    """PPO at work: `collect`, then `learn`. What stays between two updates is the weights, the optimiser, the scheduler, the random state and `kl`."""

    def __init__(
        self,
        settings: PpoSettings,
        *,
        module: Any,
        optimizer: Any,
        scheduler: Any,
        reference: Reference,
        sampler: Sampler,
        reward: Reward,
        gold: Term | None,
        accelerator: Accelerator,
        pad: int,
    ) -> None:
        """`module`, `optimizer` and `scheduler` are prepared by `accelerator`; `module` is an ActorCritic."""
        self.kl = KlController(coefficient=settings.kl.coefficient, target=settings.kl.target, horizon=settings.kl.horizon)
        self._settings = settings
        self._module = module
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._reference = reference
        self._sampler = sampler
        self._reward = reward
        self._gold = gold
        self._accelerator = accelerator
        self._pad = pad

    @torch.no_grad()
    def collect(self, number: int, asked: Sequence[Question]) -> tuple[Experience, Update]:
        """Replies of the policy as it is to `asked`, this device's share of update `number`, and what they are worth. Raises Diverged."""
        try:
            replies = self._sampler.sample([one.tokens for one in asked])
        except RuntimeError as error:
            if "probability tensor" in str(error):  # what torch says of logits that are no numbers
                raise Diverged(number) from error
            raise
        experience, figures = self._judged(asked, replies)
        seen = Observation(
            update=number,
            proxy=figures["reward"],
            gold=figures.get("gold"),
            kl=figures["kl"],
            length=figures["length"],
            repetition=figures["repetition"],
        )
        return experience, Update(seen=seen, metrics=figures)

    def learn(self, experience: Experience, update: Update) -> dict[str, float]:
        """Change policy and critic by the experience of `update`; what the steps were like on average. Raises Diverged."""
        settings, number = self._settings, update.seen.update
        mine, step = len(experience.rows), settings.training.global_batch // self._accelerator.num_processes
        noted: list[dict[str, float]] = []
        for epoch in range(settings.inner_epochs):
            shuffle = torch.Generator().manual_seed((number * settings.inner_epochs + epoch) * 1_000_003 + self._accelerator.process_index)
            places = torch.randperm(mine, generator=shuffle).tolist()
            noted += [self._step(experience, places[start : start + step], number) for start in range(0, mine, step)]
        self.kl = self.kl.after(update.seen.kl, settings.rollout_batch)
        means = {name: sum(one[name] for one in noted) / len(noted) for name in noted[0]}
        return {**means, "learning_rate": noted[-1]["learning_rate"]}

    def _judged(self, asked: Sequence[Question], replies: Sequence[Reply]) -> tuple[Experience, dict[str, float]]:
        """Score the replies; the means of all devices."""
        settings = self._settings
        batch = rows([one.tokens for one in asked], replies, pad=self._pad, device=self._accelerator.device)
        prompts, texts = [one.prompt for one in asked], [reply.text for reply in replies]
        scores = self._reward(prompts, texts)
        logprobs, entropies, values, reference = self._read(batch)
        divergence = kl_divergence(logprobs, reference)
        kl = reply_sums(divergence, batch.mask)
        total = torch.tensor(scores.total, dtype=torch.float32, device=batch.mask.device)
        ended = torch.tensor([reply.ended for reply in replies], device=batch.mask.device)
        penalised = missing_eos(total, ended, penalty=settings.missing_eos_penalty)
        rewards = token_rewards(penalised, divergence, batch.mask, coefficient=self.kl.coefficient)
        advantages = generalized_advantages(rewards, values, batch.mask, discount=settings.discount, gae_lambda=settings.gae_lambda)
        returns = torch.where(batch.mask, advantages + values, 0.0)
        per_reply: dict[str, Any] = {
            "reward": total,
            **{f"reward.{name}": torch.tensor(term) for name, term in scores.terms.items()},
            "kl": kl,
            "kl.k3": reply_sums(kl_divergence(logprobs, reference, "k3"), batch.mask),
            "objective": penalised - self.kl.coefficient * kl,
            "entropy": reply_sums(entropies, batch.mask) / batch.mask.sum(1).clamp(min=1),
            "length": batch.mask.sum(1),
            "missing_eos": ~ended,
            "repetition": torch.tensor([repetition(reply.tokens) for reply in replies]),
        }
        if any(reply.logprobs for reply in replies):
            per_reply["sampler.drift"] = drift(replies, logprobs, batch.mask)
        if self._gold is not None:
            per_reply["gold"] = torch.tensor(self._gold(prompts, texts))
        figures = self._means(per_reply)
        if figures.get("sampler.drift", 0.0) > DRIFT:
            raise FinetuneError(
                f"The server does not sample from the policy: its log-probabilities are {figures['sampler.drift']:.2f} nats off. It did not take over the "
                "weights; set rollout.backend to generate."
            )
        figures["kl.coefficient"] = self.kl.coefficient
        figures["explained_variance"] = float(explained_variance(values, returns, batch.mask, total=self._sum))
        experience = Experience(rows=batch, logprobs=logprobs, values=values, advantages=whiten(advantages, batch.mask, total=self._sum), returns=returns)
        return experience, figures

    def _read(self, batch: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-probabilities, entropies, values and the reference's log-probabilities, each (b, r), 0 outside the replies."""
        module = self._accelerator.unwrap_model(self._module)
        found: list[tuple[Tensor, ...]] = []
        for start in range(0, len(batch), self._settings.training.micro_batch):
            part = batch.take(slice(start, start + self._settings.training.micro_batch))
            with self._accelerator.autocast():
                said = module(part.tokens, part.attention, part.positions, part.mask.shape[1], self._settings.rollout.temperature)
                reference = self._reference.logprobs(part, self._settings.rollout.temperature)
            found.append(tuple(torch.where(part.mask, values, 0.0) for values in (*said, reference)))
        logprobs, entropies, values, reference = (torch.cat(parts) for parts in zip(*found, strict=True))
        return logprobs, entropies, values, reference

    def _step(self, experience: Experience, places: Sequence[int], number: int) -> dict[str, float]:
        """One step of the optimiser, on rows that may take several passes."""
        settings, accelerator = self._settings, self._accelerator
        devices, size = accelerator.num_processes, settings.training.micro_batch
        count = self._sum(experience.rows.mask[list(places)].sum().float().unsqueeze(0))[0].clamp(min=1)
        sums = torch.zeros(5, device=accelerator.device)
        passes = [places[start : start + size] for start in range(0, len(places), size)]
        for turn, part in enumerate(passes, 1):
            chosen = list(part)
            batch = experience.rows.take(chosen)
            with torch.enable_grad(), _synchronised(accelerator, self._module, last=turn == len(passes)):
                with accelerator.autocast():
                    logprobs, _, values = self._module(batch.tokens, batch.attention, batch.positions, batch.mask.shape[1], settings.rollout.temperature)
                old, advantages = experience.logprobs[chosen], experience.advantages[chosen]
                policy = policy_loss(logprobs, old, advantages, batch.mask, clip=settings.clip, count=count)
                value = value_loss(values, experience.values[chosen], experience.returns[chosen], batch.mask, clip=settings.value_clip, count=count)
                # Devices' gradients are averaged, and each loss is already its share of the mean over all of them.
                accelerator.backward((policy.loss + settings.value_weight * value.loss) * devices)
            sums += torch.stack([policy.loss.detach(), policy.clipped, policy.kl, value.loss.detach(), value.clipped])
        norm = float(clip_grad_norm_(self._module.parameters(), settings.training.max_grad_norm))
        if not math.isfinite(norm):
            raise Diverged(number)
        rate = float(self._optimizer.param_groups[0]["lr"])
        self._optimizer.step()
        self._scheduler.step()
        self._optimizer.zero_grad()
        names = ("policy.loss", "policy.clipped", "policy.kl", "value.loss", "value.clipped")
        return {**dict(zip(names, self._sum(sums).tolist(), strict=True)), "gradient_norm": norm, "learning_rate": rate}

    def _sum(self, values: Tensor) -> Tensor:
        """Added up over the devices."""
        added: Tensor = self._accelerator.reduce(values.clone(), "sum")
        return added

    def _means(self, per_reply: Mapping[str, Tensor]) -> dict[str, float]:
        """The means of vectors (b,) over the replies of all devices."""
        sums = torch.stack([values.double().sum().to(self._accelerator.device) for values in per_reply.values()])
        count = torch.tensor([len(next(iter(per_reply.values())))], device=sums.device, dtype=sums.dtype)
        added = self._sum(torch.cat([sums, count]))
        return dict(zip(per_reply, (added[:-1] / added[-1]).tolist(), strict=True))


def _synchronised(accelerator: Accelerator, module: Any, *, last: bool) -> Any:
    """Devices exchange gradients on the last pass of a step only."""
    return nullcontext() if last else accelerator.no_sync(module)
