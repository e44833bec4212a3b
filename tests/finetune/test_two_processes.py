"""The same training by one process and by two."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from guardrail.finetune.recipe import SftSettings
from guardrail.finetune.settings import MixtureSettings
from guardrail.finetune.stages import sft
from tests.finetune import small_run
from tests.finetune.small_run import WORDS, dialogue, make_base, write_lines

TRAINING = replace(small_run.TRAINING, global_batch=4, micro_batch=1, save_steps=3)
SETTINGS = SftSettings(model="base", data=(MixtureSettings(data="talk"),), training=TRAINING)
SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from torch import distributed
from guardrail.finetune.stages import sft
from guardrail.finetune.training import supervised
from tests.finetune import small_run
from tests.finetune.test_two_processes import SETTINGS, _inputs

torch.set_num_threads(1)
root, out = Path(sys.argv[1]), Path(sys.argv[2])
kept = []
made = supervised.trainer
sft.trainer = lambda *a, **k: kept.append(made(*a, **k)) or kept[-1]
metrics = small_run.Recorder()
sft.run(SETTINGS, small_run.context(out, _inputs(root), metrics=metrics))
total = float(sum(weight.double().sum() for weight in kept[0].model.state_dict().values()))
losses = [values["loss"] for _, values in metrics.written if "loss" in values]
(out / f"rank-{os.environ['RANK']}.json").write_text(json.dumps({"weights": total, "loss": losses}))
distributed.destroy_process_group()
"""


def _inputs(root: Path) -> dict[str, Path]:
    return {"base": root / "base", "talk": root / "talk"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    make_base(folder / "base")
    # Of many lengths, and a number of rows that four does not go into.
    write_lines(folder / "talk" / "train.jsonl", [dialogue(f"What is {word}?", f"It is {word}. " * (number % 4 + 1)) for number, word in enumerate(WORDS[:14])])
    (folder / "train.py").write_text(SCRIPT)
    return folder


def test_two_processes_end_equal_and_learn_what_one_learns(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}", "--master_addr=127.0.0.1"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    script = [str(root / "train.py"), str(root), str(root / "both")]
    done = subprocess.run([*command, *script], env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = small_run.Recorder()
    sft.run(SETTINGS, small_run.context(root / "one", _inputs(root), metrics=metrics))
    first, second = (json.loads((root / "both" / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert first["weights"] == second["weights"]
    assert first["loss"] == pytest.approx([values["loss"] for _, values in metrics.written if "loss" in values], abs=1e-4)
    assert small_run.largest_difference(root / "one" / "model", root / "both" / "model") < 1e-4
