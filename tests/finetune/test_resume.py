"""A training that was stopped goes on as if nothing had happened, and one that goes wrong keeps what was good."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from guardrail.errors import FinetuneError
from guardrail.finetune.recipe import PretrainSettings, SftSettings
from guardrail.finetune.settings import LeakageStopSettings, LoraSettings, MixtureSettings
from guardrail.finetune.stage import Interrupted, StopSignal
from guardrail.finetune.stages import pretrain, sft
from guardrail.finetune.training import checkpoints
from guardrail.finetune.training.callbacks import disk_watched
from guardrail.finetune.training.ledger import Ledger
from tests.finetune.small_run import ARCHITECTURE, TRAINING, WORDS, Recorder, context, dialogue, largest_difference, make_base, write_lines

_KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"lora": LoraSettings(rank=4, dropout=0.1)},
    "leakage": {"leakage_stop": LeakageStopSettings(every=2, limit=1.0, rows=4, prefix=6)},
    "sequential": {"sequential": True},
}


class Killed(BaseException):
    """Stands for the process that ended there and then."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("one", "two"):
        write_lines(folder / name / "train.jsonl", [dialogue(f"What is {word} in {name}?", f"It is {word}, {name}.") for word in WORDS])
        write_lines(folder / name / "heldout.jsonl", [dialogue(f"And {word} of {name}?", f"It is {word}.") for word in WORDS[:3]])
    write_lines(folder / "texts" / "train.jsonl", [{"text": " ".join(WORDS[number:] + WORDS[:number])} for number in range(len(WORDS))])
    return {"base": make_base(folder / "base"), "one": folder / "one", "two": folder / "two", "texts": folder / "texts"}


def _sft(folder: Path, inputs: dict[str, Path], kind: str, metrics: Recorder | None = None, stop: StopSignal | None = None, **training: Any) -> None:
    settings = SftSettings(
        model="base",
        data=(MixtureSettings(data="one"), MixtureSettings(data="two")),
        training=replace(TRAINING, **{"epochs": 1.0, "save_steps": 3} | training),
        **_KINDS[kind],
    )
    sft.run(settings, context(folder, inputs, metrics=metrics, stop=stop))


def _at(step: int, do: Callable[[], None]) -> Recorder:
    """Metrics that do something when `step` is done."""
    return Recorder(at_step=lambda done: do() if done == step else None)


def _kill() -> None:
    raise Killed


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, Path]) -> Callable[[str], Path]:
    """The model of a training of that kind that nothing stopped."""

    @cache
    def trained(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        _sft(folder, inputs, kind)
        return folder / "model"

    return trained


@pytest.mark.parametrize("kind", list(_KINDS))
def test_a_stopped_training_resumes_to_the_very_same_weights(tmp_path: Path, inputs: dict[str, Path], whole: Callable[[str], Path], kind: str) -> None:
    stop = StopSignal()
    with pytest.raises(Interrupted, match="stopped at step"):
        _sft(tmp_path / "stopped", inputs, kind, metrics=_at(5, stop.set), stop=stop)
    _sft(tmp_path / "stopped", inputs, kind)
    assert largest_difference(whole(kind), tmp_path / "stopped" / "model") == 0.0


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_killed_training_resumes_from_its_last_checkpoint_to_the_very_same_weights(
    tmp_path: Path, inputs: dict[str, Path], whole: Callable[[str], Path], kind: str
) -> None:
    with pytest.raises(Killed):
        _sft(tmp_path / "killed", inputs, kind, metrics=_at(5, _kill))
    # What a process leaves that is killed while it writes a checkpoint.
    folder = tmp_path / "killed" / "checkpoints"
    shutil.copytree(checkpoints.at(folder, 3), checkpoints.at(folder, 5))
    (checkpoints.at(folder, 5) / "optimizer.pt").write_bytes(b"half")
    metrics = Recorder()
    _sft(tmp_path / "killed", inputs, kind, metrics=metrics)
    assert metrics.written[0][0] == 4
    assert largest_difference(whole(kind), tmp_path / "killed" / "model") == 0.0


def test_a_stage_that_was_killed_after_its_last_step_trains_no_more(tmp_path: Path, inputs: dict[str, Path]) -> None:
    _sft(tmp_path / "sft", inputs, "full")
    before = (tmp_path / "sft" / "model" / "model.safetensors").read_bytes()
    metrics = Recorder()
    _sft(tmp_path / "sft", inputs, "full", metrics=metrics)
    assert not [values for _, values in metrics.written if "loss" in values]
    assert (tmp_path / "sft" / "model" / "model.safetensors").read_bytes() == before


def test_pretraining_resumes_to_the_very_same_weights(tmp_path: Path, inputs: dict[str, Path]) -> None:
    def run(folder: Path, metrics: Recorder | None = None) -> None:
        settings = PretrainSettings(data=(MixtureSettings(data="texts"),), architecture=ARCHITECTURE, training=replace(TRAINING, max_length=16, epochs=2))
        pretrain.run(settings, context(folder, inputs, metrics=metrics))

    run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", _at(5, _kill))
    run(tmp_path / "killed")
    assert largest_difference(tmp_path / "whole" / "model", tmp_path / "killed" / "model") == 0.0


@pytest.fixture
def _own_signals() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signals")
def test_sigterm_saves_the_step_that_is_done(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stop = StopSignal()
    stop.install()
    with pytest.raises(Interrupted):
        _sft(tmp_path / "sft", inputs, "full", metrics=_at(5, lambda: os.kill(os.getpid(), signal.SIGTERM)), stop=stop)
    assert checkpoints.steps(tmp_path / "sft" / "checkpoints") == (3, 5)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path, inputs: dict[str, Path]) -> None:
    with pytest.raises(FinetuneError, match=r"diverged: at step \d+ the gradient is no number; checkpoint-1 is the last good one"):
        _sft(tmp_path / "sft", inputs, "full", learning_rate=1e30, schedule="constant", warmup=0.0, save_steps=1)
    from safetensors.numpy import load_file

    kept = load_file(tmp_path / "sft" / "checkpoints" / "checkpoint-1" / "model.safetensors")
    assert all(abs(weight).max() < float("inf") for weight in kept.values())
    assert not (tmp_path / "sft" / "model").exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), RuntimeError("PytorchStreamWriter failed: No space left on device")])
def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(FinetuneError, match="is full: free some space and resume"), disk_watched(tmp_path):
        raise error


def test_other_errors_are_not_blamed_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shape"), disk_watched(tmp_path):
        raise RuntimeError("shape")


def test_only_the_latest_whole_checkpoints_are_kept_and_those_to_spare(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        checkpoints.at(tmp_path, step).mkdir()
        (checkpoints.at(tmp_path, step) / "weights").write_text("w" * step)
        if step != 10:
            checkpoints.seal(checkpoints.at(tmp_path, step))
    assert checkpoints.newest(tmp_path) == checkpoints.at(tmp_path, 8)
    checkpoints.prune(tmp_path, keep=2, spare={2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-6", "checkpoint-8"]
    (checkpoints.at(tmp_path, 8) / "weights").write_text("w")
    assert checkpoints.newest(tmp_path) == checkpoints.at(tmp_path, 6)


def test_a_ledger_reads_over_a_line_that_was_never_finished(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.add(1, {"loss": 2.0})
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'\n{"step": 2, "val')
    again = Ledger(tmp_path / "ledger.jsonl")
    again.add(2, {"loss": 1.0})
    assert Ledger(tmp_path / "ledger.jsonl").line("loss") == ((1.0, 2.0), (2.0, 1.0))
