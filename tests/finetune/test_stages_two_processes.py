"""Stages that choose or compare, by two processes: one of them writes, and both come to the end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guardrail.finetune.data import rows
from guardrail.finetune.data.rows import Preference, Prompt
from tests.finetune.small_run import WORDS, make_base

Found = dict[str, Any]

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from torch import distributed
from guardrail.finetune.recipe import DpoSettings, RejectionSettings, RewardSettings
from guardrail.finetune.settings import RewardTermSettings, RolloutSettings, TrainingSettings
from guardrail.finetune.stage import Interrupted
from guardrail.finetune.stages import dpo, rejection, reward
from guardrail.finetune.training.arguments import main_process_first
from tests.finetune import small_run

torch.set_num_threads(1)
root = Path(sys.argv[1])
inputs = {name: root / name for name in ("base", "prompts.jsonl", "choices")}
training = TrainingSettings(max_steps=2, global_batch=4, micro_batch=2, max_length=64)
asked = {"model": "base", "training": training}
length = (RewardTermSettings(kind="length", words=3),)
select = RejectionSettings(prompts="prompts.jsonl", reward=length, samples=2, rollout=RolloutSettings(max_tokens=8), **asked)
found = {}
for name, run, settings in (
    ("rejection", rejection.run, select),
    ("reward", reward.run, RewardSettings(data="choices", **asked)),
    ("dpo", dpo.run, DpoSettings(data="choices", **asked)),
):
    result = run(settings, small_run.context(root / name, inputs))
    found[name] = {figure.name: figure.value for figure in result.figures if "second" not in figure.name}
    found[name + " notes"] = result.notes
try:
    with main_process_first():
        if os.environ["RANK"] == "0":
            raise Interrupted("stopped")
except Interrupted:
    found["stopped"] = True
(root / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(found))
distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Found]:
    """What each of the two found."""
    root = tmp_path_factory.mktemp("two")
    make_base(root / "base")
    rows.write(root / "prompts.jsonl", [Prompt(prompt=f"What is {word}?") for word in WORDS[:8]])
    (root / "choices").mkdir()
    made = [Preference(prompt=f"What is {word}?", chosen=f"It is {word}.", rejected="It is not.") for word in WORDS]
    rows.write(root / "choices/train.jsonl", made[:8])
    rows.write(root / "choices/heldout.jsonl", [*made[8:], Preference(prompt="What is all?", chosen=" ".join(WORDS * 8), rejected="It is not.")])
    (root / "run.py").write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}", "--master_addr=127.0.0.1"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([*command, str(root / "run.py"), str(root)], env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((root / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    return first, second


@pytest.mark.parametrize("stage", ["rejection", "reward", "dpo"])
def test_both_processes_find_the_same(stage: str, ranks: tuple[Found, Found]) -> None:
    assert ranks[0][stage] == pytest.approx(ranks[1][stage])


def test_a_first_process_that_stops_keeps_no_other_waiting(ranks: tuple[Found, Found]) -> None:
    assert ["stopped" in found for found in ranks] == [True, False]


def test_held_out_choices_that_are_too_long_are_counted(ranks: tuple[Found, Found]) -> None:
    assert any(note.startswith("1 of 9 held-out choices") for note in ranks[0]["dpo notes"])
