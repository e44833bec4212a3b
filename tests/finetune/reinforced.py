"""Reinforcement learning on the toy: settings and contexts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from guardrail.finetune.recipe import PpoSettings
from guardrail.finetune.settings import KlSettings, RewardTermSettings, RolloutSettings, TrainingSettings
from guardrail.finetune.stage import StageContext, StopSignal
from tests.finetune.conftest import Reported

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TRAINING = TrainingSettings(learning_rate=2e-3, schedule="constant", warmup=0.0, global_batch=32, micro_batch=32, max_length=128, save_steps=50)


class StopBefore(StopSignal):
    """Somebody asks to stop before update `number`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    @property
    def is_set(self) -> bool:
        self._left -= 1
        return self._left <= 0


def term(function: str) -> RewardTermSettings:
    """A reward of the toy."""
    return RewardTermSettings(kind="python", path=f"guardrail.finetune.recipes.toy_data:{function}")


def rl_context(folder: Path, body: Path, files: Path, *, seed: int = 0, stop: StopSignal | None = None) -> StageContext:
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"body": body, "prompts": files / "prompts.jsonl"}
    return StageContext(id="rl", folder=folder, inputs=inputs, seed=seed, metrics=Reported(), stop=stop or StopSignal())


def ppo_settings(*, training: Mapping[str, Any] | None = None, **changes: Any) -> PpoSettings:
    settings = PpoSettings(
        model="body",
        prompts="prompts",
        reward=(term("judge"),),
        gold=term("gold"),
        updates=4,
        kl=KlSettings(coefficient=0.02),
        rollout=RolloutSettings(max_tokens=24),
        training=replace(TRAINING, **(training or {})),
    )
    return replace(settings, **changes)


def measured(context: StageContext) -> list[Mapping[str, float]]:
    """What the stage reported, update by update."""
    assert isinstance(context.metrics, Reported)
    return [values for _, values in context.metrics.lines]
