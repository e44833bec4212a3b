"""Reward models: what they learn, and how they are judged."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.finetune.data import perturbations, rows
from guardrail.finetune.data.rows import Preference, Prompt
from guardrail.finetune.recipe import DpoSettings, RewardSettings
from guardrail.finetune.recipes import toy_data
from guardrail.finetune.rewards.judgement import calibration_error, judge, stability
from guardrail.finetune.rewards.reward_model import RewardModel
from guardrail.finetune.settings import LoraSettings, TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.finetune.stage import StageResult
    from tests.finetune.conftest import MakeContext


def _choices(folder: Path, count: int = 240) -> Path:
    """Two demonstrations of the toy for a prompt; the one with more gold is chosen."""
    by_prompt: dict[str, list[str]] = {}
    for row in toy_data.dialogues(count * 4, seed=3):
        by_prompt.setdefault(row["messages"][0]["content"], []).append(row["messages"][1]["content"])
    made = []
    for prompt, replies in by_prompt.items():
        for one, other in zip(replies[::2], replies[1::2], strict=False):
            scores = toy_data.gold([Prompt(prompt=prompt)] * 2, [one, other])
            if abs(scores[0] - scores[1]) > 0.2:
                better, worse = (one, other) if scores[0] > scores[1] else (other, one)
                made.append(Preference(prompt=prompt, chosen=better, rejected=worse, strength=4 if abs(scores[0] - scores[1]) > 0.5 else 2, rater="x"))
    random.Random(0).shuffle(made)
    folder.mkdir()
    rows.write(folder / "heldout.jsonl", made[:60])
    rows.write(folder / "train.jsonl", made[60 : count + 60])
    return folder


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _choices(tmp_path_factory.mktemp("choices") / "preferences")


TRAINING = TrainingSettings(epochs=3, learning_rate=2e-3, global_batch=16, micro_batch=16, max_length=96)


def _figure(result: StageResult, name: str) -> float:
    return next(figure.value for figure in result.figures if figure.name == name)


def test_a_reward_model_judges_unseen_choices_better_than_length_does(toy_body: Path, choices: Path, make_context: MakeContext) -> None:
    from guardrail.finetune.stages import reward

    result = reward.run(RewardSettings(model="body", data="choices", training=TRAINING), make_context("reward", body=toy_body, choices=choices))
    assert _figure(result, "reward.accuracy") > max(_figure(result, "reward.length_baseline"), 0.8)


def test_a_reward_model_with_adapters_is_saved_merged(toy_body: Path, choices: Path, make_context: MakeContext) -> None:
    from guardrail.finetune.stages import reward

    context = make_context("reward", body=toy_body, choices=choices)
    result = reward.run(RewardSettings(model="body", data="choices", lora=LoraSettings(rank=8), training=TRAINING), context)
    scorer = RewardModel.load(str(context.folder / result.outputs["reward"]))
    kept = list(rows.read(choices / "heldout.jsonl", Preference))
    prompts = [Prompt(prompt=row.prompt) for row in kept]
    right = scorer(prompts, [row.chosen for row in kept]) > scorer(prompts, [row.rejected for row in kept])
    assert right.mean() == pytest.approx(_figure(result, "reward.accuracy"))


def test_choices_that_are_too_long_are_counted(toy_body: Path, choices: Path, make_context: MakeContext, tmp_path: Path) -> None:
    from guardrail.finetune.stages import reward

    folder = tmp_path / "long"
    folder.mkdir()
    (folder / "heldout.jsonl").write_bytes((choices / "heldout.jsonl").read_bytes())
    given = list(rows.read(choices / "train.jsonl", Preference))[:32]
    rows.write(folder / "train.jsonl", [*given, Preference(prompt="What is mercy?", chosen="noble " * 200, rejected="vain")])
    training = TrainingSettings(max_steps=1, global_batch=16, micro_batch=16, max_length=96)
    result = reward.run(RewardSettings(model="body", data="long", training=training), make_context("reward", body=toy_body, long=folder))
    assert result.notes[0].startswith("1 of 33 choices")


def test_dpo_makes_the_better_reply_likelier(toy_body: Path, choices: Path, make_context: MakeContext) -> None:
    from guardrail.finetune.stages import dpo

    training = TrainingSettings(epochs=2, learning_rate=3e-4, global_batch=16, micro_batch=16, max_length=96)
    result = dpo.run(DpoSettings(model="body", data="choices", training=training), make_context("dpo", body=toy_body, choices=choices))
    assert _figure(result, "dpo.accuracy") > 0.75
    margin = next(figure for figure in result.figures if figure.name == "dpo.reward_margin")
    assert margin.low is not None
    assert margin.low > 0


class _ByLength:
    """A scorer that sees nothing but the length, of the prompt and the reply."""

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([float(len(str(prompt.prompt)) + len(reply)) for prompt, reply in zip(prompts, replies, strict=True)])


def _judged(preferences: Sequence[Preference]) -> dict[str, float]:
    return {figure.name: figure.value for figure in judge(_ByLength(), preferences)}


def test_a_scorer_that_sees_only_the_length_is_found_out() -> None:
    draw = random.Random(0)
    found = _judged([Preference(prompt="p", chosen="a" * draw.randint(1, 50), rejected="b" * draw.randint(51, 90)) for _ in range(40)])
    assert found["reward.length_correlation"] == pytest.approx(1.0)
    assert found["reward.accuracy"] == 0.0


def test_accuracy_is_given_by_strength() -> None:
    found = _judged([Preference(prompt="p", chosen="aa", rejected="b", strength=4), Preference(prompt="p", chosen="a", rejected="bb", strength=1)])
    assert (found["reward.accuracy.significantly"], found["reward.accuracy.negligibly"]) == (1.0, 0.0)


def test_a_scorer_that_does_not_read_the_prompt_is_stable() -> None:
    def blind(prompts: Sequence[Prompt], replies: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([float(len(reply)) for reply in replies])

    choices = [Preference(prompt=f"What is courage? Tell me number {number}.", chosen="a" * number, rejected="b") for number in range(2, 9)]
    assert {figure.value for figure in stability(blind, choices, ("typos", "case", "reorder", "paraphrase"))} == {0.0}


def test_a_scorer_that_reads_the_prompt_s_length_moves_under_paraphrase() -> None:
    choices = [Preference(prompt="What is courage?", chosen="a" * number, rejected="b") for number in range(2, 9)]
    found = {figure.name: figure.value for figure in stability(_ByLength(), choices, ("paraphrase",))}
    assert found["stability.paraphrase.move"] > 0


def test_probabilities_that_come_true_as_often_as_they_say_have_no_calibration_error() -> None:
    assert calibration_error(np.full(10, 0.3), np.array([1.0] * 3 + [0.0] * 7)) == pytest.approx(0.0)


def test_certainty_that_is_always_wrong_has_calibration_error_one() -> None:
    assert calibration_error(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1.0)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(("What is courage?", "Tell me more.", "It isn't clear to me!")), min_size=2, max_size=5), st.integers(0, 9))
def test_another_order_keeps_every_word(sentences: list[str], seed: int) -> None:
    changed = perturbations.perturbed(" ".join(sentences), "reorder", random.Random(seed))
    assert sorted(changed.split()) == sorted(" ".join(sentences).split())


@settings(max_examples=60)
@given(st.text(max_size=60), st.sampled_from(("paraphrase", "reorder", "case", "typos")), st.integers(0, 9))
def test_the_same_draw_changes_a_text_in_the_same_way(text: str, kind: perturbations.Kind, seed: int) -> None:
    assert perturbations.perturbed(text, kind, random.Random(seed)) == perturbations.perturbed(text, kind, random.Random(seed))
