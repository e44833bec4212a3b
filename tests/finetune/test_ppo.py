from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from guardrail.errors import ConfigurationError, FinetuneError
from guardrail.finetune.data.rows import Prompt
from guardrail.finetune.settings import AlarmSettings, KlSettings, LoraSettings, RolloutSettings
from guardrail.finetune.stage import Interrupted
from guardrail.finetune.stages import ppo
from guardrail.finetune.training import checkpoints, policy
from guardrail.finetune.training.models import load_tokenizer
from guardrail.finetune.training.ppo import order
from guardrail.finetune.training.rollout import Reply, padded, prompt_tokens, questions, repetition, rows
from tests.finetune.reinforced import TRAINING, StopBefore, measured, ppo_settings, rl_context, term

if TYPE_CHECKING:
    from pathlib import Path

LORA = LoraSettings(rank=4, alpha=8.0)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_it_raises_gold_from_half_to_nine_tenths(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    context = rl_context(tmp_path, toy_body, toy_files)
    found = ppo.run(ppo_settings(updates=50, training={"schedule": "linear"}), context)
    figures = {figure.name: figure.value for figure in found.figures}
    assert figures["gold.start"] < 0.65
    last = measured(context)[-5:]
    assert sum(values["gold"] for values in last) / 5 > 0.85
    assert {curve.name for curve in found.curves} >= {"reward against KL", "gold against KL"}
    assert found.outputs == {"model": "model"}


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "hydra"])
def test_kl_is_exactly_zero_before_anything_was_learned_and_not_after(lora: LoraSettings | None, tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    context = rl_context(tmp_path, toy_body, toy_files)
    ppo.run(ppo_settings(updates=2, lora=lora, training={"micro_batch": 16}), context)
    first, second = measured(context)
    assert first["kl"] == 0.0
    assert first["kl.k3"] == 0.0
    assert second["kl.k3"] > 0


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "hydra"])
def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(lora: LoraSettings | None, tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    settings = ppo_settings(
        lora=lora, kl=KlSettings(coefficient=0.05, target=1.0, horizon=200), training={"schedule": "linear", "warmup": 0.2}, alarm=AlarmSettings(window=2)
    )
    whole, halved = rl_context(tmp_path / "whole", toy_body, toy_files), rl_context(tmp_path / "halved", toy_body, toy_files)
    kept = ppo.run(settings, whole)
    with pytest.raises(Interrupted, match="stopped after update 2 of 4"):
        ppo.run(settings, replace(halved, stop=StopBefore(3)))
    resumed = ppo.run(settings, halved)
    assert difference(weights(whole.folder), weights(halved.folder)) == 0.0
    assert resumed == kept
    assert difference(weights(whole.folder), load_file(toy_body / "model.safetensors")) > 0


def test_adapters_of_policy_and_critic_learn_and_the_base_does_not(toy_body: Path) -> None:
    module, frozen = policy.load(str(toy_body), reward=None, training=TRAINING, lora=LORA)
    assert frozen is None
    tokenizer = load_tokenizer(str(toy_body))
    asked = prompt_tokens(Prompt(prompt="What is mercy?"), tokenizer)
    batch = rows([asked], [Reply(tokens=(9, 8, 7), text="", ended=False)], pad=3)
    torch.nn.init.normal_(module.head.weight)
    logprobs, _, values = module(batch.tokens, batch.attention, batch.positions, 3, 1.0)
    (logprobs.sum() + values.sum()).backward()
    moved = {name for name, value in module.named_parameters() if value.grad is not None and float(value.grad.abs().sum()) > 0}
    assert any(f".{policy.POLICY}." in name for name in moved)
    assert any(f".{policy.CRITIC}." in name for name in moved)
    assert all("lora_" in name or name.startswith("head.") for name in moved)
    trained = {name for name, value in module.named_parameters() if value.requires_grad}
    policy.Reference(None, module).logprobs(batch, 1.0)
    assert {name for name, value in module.named_parameters() if value.requires_grad} == trained


def test_a_prompt_is_read_the_same_with_padding_before_it(toy_body: Path) -> None:
    module, _ = policy.load(str(toy_body), reward=None, training=TRAINING, lora=None)
    reply = Reply(tokens=(9, 8, 7), text="", ended=False)
    alone = rows([(20, 21, 22)], [reply], pad=3)
    among = rows([(20, 21, 22), (30,) * 9], [reply, reply], pad=3)
    with torch.no_grad():
        one = module(alone.tokens, alone.attention, alone.positions, 3, 1.0)[0]
        other = module(among.tokens, among.attention, among.positions, 3, 1.0)[0]
    assert torch.allclose(one[0], other[0], atol=1e-5)


def test_a_published_hydra_says_what_the_policy_says(tmp_path: Path, toy_body: Path) -> None:
    module, _ = policy.load(str(toy_body), reward=None, training=TRAINING, lora=LORA)
    with torch.no_grad():
        for name, value in module.policy.named_parameters():
            if "lora_B" in name and f".{policy.POLICY}." in name:
                value.normal_(std=0.1)
    module.publish(tmp_path)
    copy, _ = policy.load(str(tmp_path), reward=None, training=TRAINING, lora=None)
    tokens, attention = padded([(20, 21, 22, 23)], pad=3, left=True)
    with torch.no_grad():
        assert torch.allclose(module.policy(tokens, attention_mask=attention).logits, copy.policy(tokens, attention_mask=attention).logits, atol=1e-4)
    published, start = load_file(tmp_path / "model.safetensors"), load_file(toy_body / "model.safetensors")
    assert any(float((published[name] - start[name]).abs().max()) > 0 for name in start)
    assert torch.equal(published["lm_head.weight"], published["model.embed_tokens.weight"])  # tied: a server may look for either


def test_the_alarm_stops_a_cheated_reward_and_restores_the_best(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    context = rl_context(tmp_path, toy_body, toy_files)
    settings = ppo_settings(
        reward=(term("flattery"),),
        updates=150,
        kl=KlSettings(coefficient=0.0),
        missing_eos_penalty=0.0,
        alarm=AlarmSettings(length_ratio=None, repetition=None),
    )
    found = ppo.run(settings, context)
    golds = [values["gold"] for values in measured(context)]
    figures = {figure.name: figure.value for figure in found.figures}
    assert any("being cheated" in note for note in found.notes)
    assert len(golds) < 150
    assert figures["gold.end"] > golds[-1] + 0.05
    best = int(figures["updates"])
    assert difference(weights(context.folder), load_file(context.folder / "checkpoints" / f"best-{best}.safetensors")) == 0.0


def test_a_gradient_that_is_no_number_stops_it_and_keeps_the_last_checkpoint(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    context = rl_context(tmp_path, toy_body, toy_files)
    with pytest.raises(FinetuneError, match=r"checkpoint-1 is the last good one"):
        ppo.run(ppo_settings(inner_epochs=1, training={"learning_rate": 1e30, "save_steps": 1, "global_batch": 64, "micro_batch": 64}), context)
    assert checkpoints.newest(context.folder / "checkpoints") is not None


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    with pytest.raises(ConfigurationError, match="make the first a multiple of the second"):
        ppo.run(ppo_settings(rollout_batch=48), rl_context(tmp_path, toy_body, toy_files))


def test_prompts_that_are_too_long_are_named(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    context = rl_context(tmp_path, toy_body, toy_files)
    lines = [{"prompt": "What is mercy?", "id": "short"}, {"prompt": "mercy " * 100, "id": "long"}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = ppo.run(ppo_settings(updates=1), replace(context, inputs={"body": toy_body, "prompts": tmp_path / "prompts.jsonl"}))
    assert any("1 prompts are longer" in note and "long" in note for note in found.notes)
    with pytest.raises(ConfigurationError, match="Every prompt has more than"):
        questions([Prompt(prompt="mercy")], load_tokenizer(str(toy_body)), most=2)


def test_every_epoch_asks_every_prompt_once_in_an_order_of_its_own() -> None:
    epochs = [[place for update in range(start, start + 3) for place in order(update, batch=4, count=12, seed=1)] for start in (1, 4)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_repetition_is_the_share_of_runs_that_had_stood_before() -> None:
    assert repetition(range(10)) == 0.0
    assert repetition([1] * 13) == pytest.approx(0.9)
    assert repetition([1, 2]) == 0.0


def test_a_server_is_needed_where_one_is_asked_for(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"rollout\.url"):
        ppo.run(ppo_settings(rollout=RolloutSettings(backend="vllm", max_tokens=24)), rl_context(tmp_path, toy_body, toy_files))
