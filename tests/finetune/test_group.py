from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file

from guardrail.errors import ConfigurationError
from guardrail.finetune.recipe import GroupSettings
from guardrail.finetune.settings import AlarmSettings, KlSettings, LoraSettings, RolloutSettings
from guardrail.finetune.stage import Interrupted
from guardrail.finetune.stages import group
from tests.finetune.reinforced import TRAINING, StopBefore, measured, rl_context, term

if TYPE_CHECKING:
    from pathlib import Path


def settings(kind: Any, *, steps: int = 4, **changes: Any) -> GroupSettings:
    training = replace(TRAINING, global_batch=64, micro_batch=64, max_steps=steps, epochs=100.0)
    made = GroupSettings(
        kind=kind,
        model="body",
        prompts="prompts",
        reward=(term("judge"),),
        gold=term("gold"),
        kl=KlSettings(coefficient=0.02),
        rollout=RolloutSettings(max_tokens=24),
        training=training,
    )
    return replace(made, **changes)


@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_it_raises_gold_with_the_same_reward_as_ppo(kind: str, tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    context = rl_context(tmp_path, toy_body, toy_files)
    found = group.run(settings(kind, steps=25), context)
    lines = [values for values in measured(context) if "gold" in values]
    golds = [values["gold"] for values in lines]
    assert sum(golds[-5:]) / 5 > sum(golds[:3]) / 3 + 0.1
    assert lines[0]["kl.reply"] == pytest.approx(0.0, abs=1e-5)
    assert lines[-1]["kl.reply"] > 0.1
    assert found.outputs == {"model": "model"}
    assert {figure.name for figure in found.figures} >= {"gold.start", "gold.end", "kl"}


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=4, alpha=8.0)], ids=["full", "lora"])
def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(lora: LoraSettings | None, tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    chosen = settings("rloo", lora=lora, kl=KlSettings(coefficient=0.05, target=1.0, horizon=200))
    whole, halved = rl_context(tmp_path / "whole", toy_body, toy_files), rl_context(tmp_path / "halved", toy_body, toy_files)
    kept = group.run(chosen, whole)
    with pytest.raises(Interrupted, match="stopped at step 2 of 4"):
        group.run(chosen, replace(halved, stop=StopBefore(2)))
    assert group.run(chosen, halved).figures == kept.figures
    one, other = (load_file(context.folder / "model" / "model.safetensors") for context in (whole, halved))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) == 0.0


def test_the_alarm_stops_it_and_restores_the_best(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    context = rl_context(tmp_path, toy_body, toy_files)
    found = group.run(settings("rloo", steps=30, alarm=AlarmSettings(window=1, kl_cap=0.3)), context)
    assert any("nats from the reference" in note for note in found.notes)
    best = int(next(figure.value for figure in found.figures if figure.name == "updates"))
    kept = load_file(context.folder / "checkpoints" / f"best-{best}.safetensors")
    saved = load_file(context.folder / "model" / "model.safetensors")
    assert max(float((kept[name] - saved[name]).abs().max()) for name in kept) == 0.0


def test_a_batch_that_holds_no_whole_groups_is_refused(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    with pytest.raises(ConfigurationError, match="make it a multiple of group"):
        group.run(settings("grpo", group=7), rl_context(tmp_path, toy_body, toy_files))
