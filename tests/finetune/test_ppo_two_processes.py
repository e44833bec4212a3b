"""PPO on two processes of the CPU, started by torchrun as a launch does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from guardrail.finetune.stages import ppo
from guardrail.finetune.training.ppo import Experience, Ppo, Update
from tests.finetune.reinforced import measured, ppo_settings, rl_context

ROOT = Path(__file__).parents[2]


def test_both_processes_end_with_the_same_weights_and_their_means_are_over_the_whole_batch(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", __file__, str(tmp_path), str(toy_body), str(toy_files)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    one, other = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) == 0.0
    lines = json.loads((tmp_path / "lines.json").read_text())
    assert lines[0]["kl"] == 0.0
    alone = rl_context(tmp_path / "alone", toy_body, toy_files)
    ppo.run(ppo_settings(updates=6), alone)
    for name in ("reward", "entropy", "length"):  # the same within noise: 384 replies a side
        theirs, ours = (sum(values[name] for values in found) / 6 for found in (lines, measured(alone)))
        assert abs(theirs - ours) < 0.2 * ours
    start = load_file(toy_body / "model.safetensors")
    assert max(float((one[name] - start[name]).abs().max()) for name in one) > 0


def main(folder: Path, body: Path, files: Path) -> None:
    """One of the processes: train, and write what its own copy of the policy ended as."""
    rank = int(os.environ["RANK"])
    torch.set_num_threads(1)
    ended: dict[str, torch.Tensor] = {}
    really_learn = Ppo.learn

    def learn(self: Ppo, experience: Experience, update: Update) -> dict[str, float]:
        learned = really_learn(self, experience, update)
        module = self._accelerator.unwrap_model(self._module)
        ended.update({name: value.detach().clone() for name, value in module.policy.named_parameters()})
        return learned

    pytest.MonkeyPatch().setattr(Ppo, "learn", learn)  # the stage keeps its models to itself
    context = rl_context(folder / "together", body, files)
    ppo.run(ppo_settings(updates=6, training={"micro_batch": 8}), context)
    save_file(ended, folder / f"rank{rank}.safetensors")
    if rank == 0:
        (folder / "lines.json").write_text(json.dumps([dict(values) for values in measured(context)]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
