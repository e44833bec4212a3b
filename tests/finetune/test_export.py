"""What is exported for other frameworks: the same prompts, the same reward."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from guardrail.errors import ConfigurationError
from guardrail.finetune import recipe_file
from guardrail.finetune.data import rows
from guardrail.finetune.data.rows import Prompt
from guardrail.finetune.export import export
from guardrail.finetune.runs.run import prepare

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """
version: 1
name: exported
stages:
  ppo:
    kind: ppo
    model: {model}
    prompts: {prompts}
    reward:
      - {{kind: python, path: "guardrail.finetune.recipes.toy_data:gold", weight: 2.0}}
      - {{kind: length, words: 5}}
    rollout: {{max_tokens: 24}}
    training: {{max_length: 96}}
  copy: {{kind: control, model: {model}}}
"""
PROMPT = Prompt(prompt="What is courage?", id="one")
REPLY = "Courage is noble and bright."


@pytest.fixture
def run(toy_body: Path, toy_files: Path, tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(model=toy_body, prompts=toy_files / "prompts.jsonl"))
    folder = tmp_path / "run"
    prepare(recipe_file.load(tmp_path / "recipe.yaml"), folder)
    return folder


def _module(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("exported_reward", folder / "reward.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_verl_gets_our_score_and_each_term(run: Path, tmp_path: Path) -> None:
    export(run, "ppo", "verl", tmp_path / "verl")
    found = _module(tmp_path / "verl").compute_score("guardrail", REPLY, json.dumps({"prompt": "What is courage?"}), extra_info={})
    assert found["python"] == pytest.approx(1.0)
    assert found["score"] == pytest.approx(2 * found["python"] + found["length"])


def test_verl_reads_the_prompts_as_the_server_would_put_them(run: Path, tmp_path: Path, toy_files: Path) -> None:
    from datasets import Dataset

    made = export(run, "ppo", "verl", tmp_path / "verl")
    table = Dataset.from_parquet(str(tmp_path / "verl" / "prompts.parquet"), cache_dir=str(tmp_path / "cache"))
    first = next(rows.read(toy_files / "prompts.jsonl", Prompt))
    assert len(table) == made.prompts
    assert table[0]["prompt"] == [{"role": "user", "content": first.prompt}]


def test_openrlhf_gets_rewards_of_the_replies_alone(run: Path, tmp_path: Path) -> None:
    export(run, "ppo", "openrlhf", tmp_path / "openrlhf")
    prompt = "<|im_start|>user\nWhat is courage?<|im_end|>\n<|im_start|>assistant\n"
    found = _module(tmp_path / "openrlhf").reward_func([f"{prompt}{REPLY}<|im_end|>"], [prompt], [json.dumps({"prompt": "What is courage?"})])
    assert found["extra_logs"]["python"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("framework", "words"),
    [
        ("verl", ["-m", "verl.trainer.main_ppo", "algorithm.adv_estimator=gae", "data.train_files=prompts.parquet"]),
        ("openrlhf", ["-m", "openrlhf.cli.train_ppo_ray", "--pretrain", "model"]),
    ],
)
def test_the_script_calls_the_framework_with_the_recipe_s_settings(run: Path, tmp_path: Path, framework: Any, words: list[str]) -> None:
    export(run, "ppo", framework, tmp_path / "out")
    (tmp_path / "python3").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    done = subprocess.run([tmp_path / "out" / "train.sh"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[:4] == words


def test_a_stage_that_is_no_reinforcement_learning_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="those of this run are: ppo"):
        export(run, "copy", "verl", tmp_path / "out")


def test_a_folder_that_holds_something_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="is not empty"):
        export(run, "ppo", "verl", tmp_path / "out")
