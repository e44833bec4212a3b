"""PPO as a stage: the prompts, models and reward of the recipe, the alarm beside them, and checkpoints between two updates."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, set_seed
from transformers import get_scheduler

from guardrail.errors import ConfigurationError
from guardrail.finetune.data import rows
from guardrail.finetune.rewards import load_reward, load_term
from guardrail.finetune.stage import Interrupted, Sample, StageResult
from guardrail.finetune.training import checkpoints, policy
from guardrail.finetune.training.arguments import CHECKPOINTS, accumulation, uses_bf16, uses_cpu
from guardrail.finetune.training.best import BestPolicy
from guardrail.finetune.training.callbacks import agreed, disk_watched, diverged, quiet
from guardrail.finetune.training.history import History
from guardrail.finetune.training.models import check_chat, check_fit, load_tokenizer, save_model
from guardrail.finetune.training.ppo import Diverged, Ppo, order
from guardrail.finetune.training.rollout import GenerateSampler, questions, reply_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.recipe import PpoSettings
    from guardrail.finetune.settings import TrainingSettings
    from guardrail.finetune.stage import StageContext
    from guardrail.finetune.training.alarm import Alarm
    from guardrail.finetune.training.rollout import Question, Sampler

_SAMPLES = 6
"""Replies that the report shows."""
_SERVED = "served"
"""In the stage's folder: the policy as a server that follows it reads it."""


def run(settings: PpoSettings, context: StageContext) -> StageResult:
    """Train `settings.model`. What comes out is the last policy, or, where the alarm was raised, the one with the best gold score."""
    with disk_watched(context.folder), quiet():
        return _run(settings, context, _accelerator(settings.training))


def _run(settings: PpoSettings, context: StageContext, accelerator: Accelerator) -> StageResult:
    _check(settings, accelerator)
    reference = context.resolve(settings.model, "model")
    tokenizer = load_tokenizer(reference)
    check_chat(tokenizer, settings.model)
    asked, left_out = questions(
        tuple(rows.read(Path(context.resolve(settings.prompts, "prompts")), rows.Prompt)),
        tokenizer,
        most=settings.training.max_length - settings.rollout.max_tokens,
    )
    set_seed(context.seed)
    scorer = next((context.resolve(term.model, "reward") for term in settings.reward if term.kind == "reward_model" and term.model), None)
    actor_critic, frozen = policy.load(reference, reward=scorer, training=settings.training, lora=settings.lora)
    check_fit(actor_critic.policy, tokenizer, settings.model)
    trained = [parameter for parameter in actor_critic.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.training.learning_rate, weight_decay=settings.training.weight_decay)
    steps = settings.updates * settings.inner_epochs * (settings.rollout_batch // settings.training.global_batch)
    schedule = {"constant": "constant_with_warmup"}.get(settings.training.schedule, settings.training.schedule)
    scheduler = get_scheduler(schedule, optimizer, num_warmup_steps=round(settings.training.warmup * steps), num_training_steps=steps)
    module, optimizer, scheduler = accelerator.prepare(actor_critic, optimizer, scheduler)
    if frozen is not None:
        frozen = frozen.to(accelerator.device)
    device = str(accelerator.device)
    sampler = _sampler(settings, context, accelerator, actor_critic, tokenizer)
    ppo = Ppo(
        settings,
        module=module,
        optimizer=optimizer,
        scheduler=scheduler,
        reference=policy.Reference(frozen, actor_critic),
        sampler=sampler,
        reward=load_reward(settings.reward, context, device=device),
        gold=load_term(settings.gold, context, device=device) if settings.gold else None,
        accelerator=accelerator,
        pad=int(tokenizer.pad_token_id),
    )
    set_seed(context.seed + accelerator.process_index)  # each device samples replies of its own
    session = _Session(settings, context, accelerator, ppo, actor_critic)
    alarm = session.train(asked)
    accelerator.wait_for_everyone()
    samples = _samples(sampler, asked, tokenizer)  # by all: a sampler that follows the policy waits for every process
    outputs = _saved(actor_critic, tokenizer, context, base=reference) if accelerator.is_main_process else {}
    accelerator.wait_for_everyone()
    return StageResult(
        figures=session.history.figures(alarm, replies=settings.rollout_batch),
        curves=session.history.curves(),
        samples=samples,
        notes=session.history.notes(alarm, has_gold=settings.gold is not None, left_out=left_out),
        outputs=outputs,
    )


def _samples(sampler: Sampler, asked: Sequence[Question], tokenizer: PreTrainedTokenizerBase) -> tuple[Sample, ...]:
    shown = asked[:_SAMPLES]
    replies = sampler.sample([one.tokens for one in shown])
    return tuple(
        Sample(prompt=reply_text(tokenizer, one.tokens), text=reply.text, note="" if reply.ended else "cut off")
        for one, reply in zip(shown, replies, strict=True)
    )


def _sampler(
    settings: PpoSettings,
    context: StageContext,
    accelerator: Accelerator,
    actor_critic: policy.ActorCritic,
    tokenizer: PreTrainedTokenizerBase,
) -> Sampler:
    if settings.rollout.backend == "generate":
        return GenerateSampler(actor_critic.policy, tokenizer, settings.rollout)
    from guardrail.finetune.training.served import FollowingSampler, ServedSampler  # noqa: PLC0415 - not needed without a server

    def publish() -> Path:
        folder = context.folder / _SERVED
        if accelerator.is_main_process:
            actor_critic.publish(folder)
        return folder

    return FollowingSampler(ServedSampler(tokenizer, settings.rollout), publish, accelerator)


def _saved(actor_critic: policy.ActorCritic, tokenizer: PreTrainedTokenizerBase, context: StageContext, *, base: str) -> dict[str, str]:
    if actor_critic.critic is None:
        actor_critic.policy.delete_adapter(policy.CRITIC)
        return save_model(actor_critic.policy, tokenizer, context.folder, base=base)
    return save_model(actor_critic.policy, tokenizer, context.folder)


class _Session:
    """The updates of one run: what is saved between them, and when they end."""

    def __init__(self, settings: PpoSettings, context: StageContext, accelerator: Accelerator, ppo: Ppo, actor_critic: policy.ActorCritic) -> None:
        self.history = History()
        self._settings = settings
        self._context = context
        self._accelerator = accelerator
        self._ppo = ppo
        self._actor_critic = actor_critic
        self._folder = context.folder / CHECKPOINTS
        accelerator.register_save_state_pre_hook(_only_trained)
        self._best = BestPolicy(self._folder, self._weights, writes=accelerator.is_main_process)

    def train(self, asked: Sequence[Question]) -> Alarm:
        """All updates that are left, or those until the alarm is raised; then the policy is the best one again. Raises Interrupted and FinetuneError."""
        self._resume()
        settings, context = self._settings, self._context
        alarm = self.history.alarm(settings.alarm)
        for number in range(len(self.history.seen) + 1, settings.updates + 1):
            if agreed(context.stop.is_set, device=self._accelerator.device):
                self._save(alarm)
                raise Interrupted(f"{context.id} stopped after update {number - 1} of {settings.updates}.")
            try:
                alarm = self._update(number, asked, alarm)
            except Diverged:
                raise diverged(number, checkpoints.newest(self._folder)) from None
            if alarm.reason is not None:
                assert alarm.best_update is not None
                self._accelerator.wait_for_everyone()
                self._best.restore(alarm.best_update)
                break
            if number % settings.training.save_steps == 0 and number < settings.updates:
                self._save(alarm)
        return alarm

    def _update(self, number: int, asked: Sequence[Question], alarm: Alarm) -> Alarm:
        """One update, and the alarm after it. Where it is raised nothing more is learned. Raises Diverged."""
        settings, process = self._settings, self._accelerator.process_index
        share = settings.rollout_batch // self._accelerator.num_processes
        places = order(number, batch=settings.rollout_batch, count=len(asked), seed=self._context.seed)[process * share : (process + 1) * share]
        experience, update = self._ppo.collect(number, [asked[place] for place in places])
        alarm = alarm.after(update.seen, settings.alarm)
        if alarm.is_best(number):
            self._best.keep(number)
        learned = {} if alarm.reason else self._ppo.learn(experience, update)
        self.history = self.history.after(update.seen, coefficient=self._ppo.kl.coefficient)
        if self._accelerator.is_main_process:
            self._context.metrics.write(number, {**update.metrics, **learned})
            gold = "" if update.seen.gold is None else f", gold {update.seen.gold:.3f}"
            self._context.metrics.progress(number, settings.updates, f"reward {update.seen.proxy:.3f}{gold}, KL {update.seen.kl:.2f}")
        return alarm

    def _save(self, alarm: Alarm) -> None:
        """A checkpoint between two updates: all that the next one depends on."""
        done = len(self.history.seen)
        checkpoint = checkpoints.at(self._folder, done)
        self._accelerator.save_state(str(checkpoint))
        if self._accelerator.is_main_process:
            self.history.save(checkpoint)
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            checkpoints.seal(checkpoint)
            checkpoints.prune(self._folder, keep=1)  # older ones could not go back to their best
        self._accelerator.wait_for_everyone()
        self._best.spare(alarm.best_update)

    def _resume(self) -> None:
        """Stand where the newest whole checkpoint was saved, if there is one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        checkpoint = checkpoints.newest(self._folder)
        if checkpoint is None:
            return
        self._accelerator.load_state(str(checkpoint), strict=False)  # weights that never change are not in it
        self.history = History.load(checkpoint)
        self._best.spare(self.history.alarm(self._settings.alarm).best_update)
        if self.history.coefficient is not None:
            self._ppo.kl = replace(self._ppo.kl, coefficient=self.history.coefficient)

    def _weights(self) -> dict[str, torch.nn.Parameter]:
        """The weights of the policy that are trained. `named_parameters` gives tied ones once."""
        named = self._actor_critic.policy.named_parameters()
        return {name: value for name, value in named if value.requires_grad and f".{policy.CRITIC}." not in name}


def _only_trained(models: list[torch.nn.Module], weights: list[dict[str, torch.Tensor]], folder: str) -> None:  # noqa: ARG001 - accelerate's signature
    """Leave out of a checkpoint what is not trained: with adapters, the whole base."""
    for model, state in zip(models, weights, strict=True):
        trained = {name for name, value in model.named_parameters() if value.requires_grad}
        for name in state.keys() - trained:
            del state[name]


def _check(settings: PpoSettings, accelerator: Accelerator) -> None:
    """Refuse what cannot be shared out evenly, and launches that split a model up."""
    devices = accelerator.num_processes
    accumulation(settings.training, devices=devices)
    if settings.rollout_batch % settings.training.global_batch:
        raise ConfigurationError(
            f"rollout_batch is {settings.rollout_batch} and training.global_batch {settings.training.global_batch}: make the first a multiple of the second."
        )
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise ConfigurationError(
            "PPO holds whole models on each device: launch it with single, cpu, gpu or ddp, with lora for large models, or use rloo or grpo."
        )


def _accelerator(training: TrainingSettings) -> Accelerator:
    """A fresh one: an earlier stage of this process may have trained in another precision."""
    AcceleratorState._reset_state()
    return Accelerator(cpu=uses_cpu(), mixed_precision="bf16" if uses_bf16(training) else "no", step_scheduler_with_optimizer=False)
