from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guardrail.finetune import recipe_file
from guardrail.finetune.recipe import RecipeSettings
from guardrail.finetune.runs import model_size, plan, run
from guardrail.finetune.runs.estimate import PROGRAM
from guardrail.finetune.settings import ArchitectureSettings, LoraSettings
from guardrail.finetune.stage import StopSignal
from tests.tiny_model import make_tiny_model

STAGES = "  one: {kind: control, model: tiny}\n  two: {kind: control, model: one}\n"
TRAINING = "training: {epochs: 2, global_batch: 8, max_length: 32}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    (tmp_path / "tiny").symlink_to(tiny)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": str(number)}) + "\n" for number in range(40)))
    return tmp_path


def recipe(folder: Path, stages: str, head: str = "") -> RecipeSettings:
    path = folder / "recipe.yaml"
    path.write_text(f"version: 1\nname: planned\n{head}stages:\n{stages}")
    return recipe_file.load(path)


def planned(folder: Path, stages: str, head: str = "") -> dict[str, plan.StagePlan]:
    return {stage.stage: stage for stage in plan.plan(recipe(folder, stages, head), folder / "run").stages}


def test_a_plan_says_what_runs_and_why_and_changes_nothing(folder: Path) -> None:
    found = planned(folder, STAGES)
    assert {name: (stage.action, stage.reason) for name, stage in found.items()} == {"one": ("run", "never ran"), "two": ("run", "never ran")}
    assert not (folder / "run").exists()


def test_a_plan_knows_what_is_done_what_failed_and_what_rests_on_it(folder: Path) -> None:
    run.prepare(recipe(folder, STAGES), folder / "run")
    run.execute(folder / "run", StopSignal(), lambda _: None)
    assert [stage.action for stage in planned(folder, STAGES).values()] == ["skip", "skip"]
    found = planned(folder, STAGES, "seed: 3\n")
    assert [(stage.action, stage.reason) for stage in found.values()] == [("run", "changed: seed"), ("run", "its input 'one' is made anew")]
    assert "Nothing would run." in plan.told(plan.plan(recipe(folder, STAGES), folder / "run"))


def test_a_stage_that_ran_here_is_expected_to_take_as_long_again(folder: Path) -> None:
    run.prepare(recipe(folder, STAGES), folder / "run")
    run.execute(folder / "run", StopSignal(), lambda _: None)
    stage = planned(folder, STAGES, "seed: 3\n")["one"]
    assert stage.measured
    assert stage.seconds is not None
    assert 0 < stage.seconds < 60


def test_the_parameters_of_a_model_are_read_from_its_files(tiny: Path) -> None:
    from transformers import AutoModelForCausalLM

    size = model_size.of_folder(tiny)
    assert size is not None
    assert size.parameters == AutoModelForCausalLM.from_pretrained(tiny).num_parameters()
    assert (size.layers, size.hidden, size.feed_forward) == (2, 32, 64)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft asks for it
def test_the_parameters_of_an_adapter_are_those_that_peft_makes(tiny: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(tiny)
    config.num_key_value_heads = config.num_attention_heads  # the estimate takes keys and values for as wide as queries
    size = model_size.of_folder(tiny)
    assert size is not None
    wide = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call] # untyped in the library
    made = get_peft_model(wide, LoraConfig(r=3, target_modules="all-linear"))
    assert model_size.adapter(size, LoraSettings(rank=3)) == made.get_nb_trainable_parameters()[0]


def test_the_parameters_of_a_model_that_is_still_to_be_made_are_its_shapes() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = ArchitectureSettings(layers=3, hidden=32, feed_forward=48, heads=4, key_value_heads=2, vocabulary=300)
    config: dict[str, Any] = {"num_hidden_layers": 3, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    assert model_size.of_architecture(shape).parameters == LlamaForCausalLM(LlamaConfig(**config, vocab_size=300, tie_word_embeddings=True)).num_parameters()


def test_a_folder_without_a_model_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 4, "num_hidden_layers": 1, "vocab_size": 4}')
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 16)
    assert model_size.of_folder(tmp_path) is None
    assert model_size.of_folder(tmp_path / "none") is None


def test_steps_are_those_of_the_rows_and_never_more_than_asked_for(folder: Path) -> None:
    base = "  base: {kind: pretrain, data: [{data: rows.jsonl}], %s}\n"
    assert planned(folder, base % TRAINING)["base"].estimate.steps == 10
    assert planned(folder, base % TRAINING.replace("epochs: 2", "epochs: 2, max_steps: 3"))["base"].estimate.steps == 3


def test_adapters_take_less_memory_than_all_weights_and_a_critic_takes_more(folder: Path) -> None:
    shape = "{layers: 24, hidden: 2048, feed_forward: 8192, heads: 16}"
    base = f"  big: {{kind: pretrain, data: [{{data: rows.jsonl}}], architecture: {shape}, training: {{max_length: 32}}}}\n"
    sft = base + "  sft: {kind: sft, model: big, data: [{data: rows.jsonl}], training: {max_length: 32}%s}\n"
    ppo = "  ppo: {kind: ppo, model: sft, prompts: rows.jsonl, reward: [{kind: length}], training: {max_length: 32}}\n"
    full = planned(folder, sft % "" + ppo)
    lora = planned(folder, sft % ", lora: {}")["sft"].estimate
    memory = {name: stage.estimate.memory or 0 for name, stage in full.items()}
    parameters = full["big"].estimate.parameters or 0
    assert memory["sft"] > PROGRAM + 16 * parameters
    assert memory["ppo"] > PROGRAM + 36 * parameters
    assert 4 * parameters < (lora.memory or 0) - PROGRAM < 6 * parameters


def test_a_model_of_the_hub_is_not_guessed_at(folder: Path) -> None:
    stage = planned(folder, "  sft: {kind: sft, model: owner/large, data: [{data: rows.jsonl}]}\n")["sft"]
    assert (stage.estimate.parameters, stage.estimate.memory, stage.seconds) == (None, None, None)
