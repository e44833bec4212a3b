"""What every training does beside its steps: it reports, stops when asked, never trains on with a loss that is no number, and keeps whole checkpoints.

`train` runs any trainer made from Hugging Face's so, and goes on where the last whole checkpoint stands.
"""

# ruff: noqa: ARG002 - the signatures of callbacks are the library's
from __future__ import annotations

import errno
import logging
import math
import os
import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from guardrail.errors import FinetuneError
from guardrail.finetune.stage import Interrupted
from guardrail.finetune.training import checkpoints

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from guardrail.finetune.stage import Metrics, StageContext, StopSignal

_LEAST_FREE = 1 << 20
"""Bytes below which a disk counts as full when something could not be written."""


_UNTOLD = frozenset({"epoch", "total_flos"})
"""The rows may be laid out for the whole training as one epoch; a guess at floating point operations is nothing that was measured."""


class Reporting(TrainerCallback):
    """What the trainer logs goes to `metrics`, from the first process alone."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **more: Any) -> None:
        if state.is_world_process_zero and logs:
            values = {name: float(value) for name, value in logs.items() if isinstance(value, int | float) and name not in _UNTOLD}
            self._metrics.write(state.global_step, values)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        if state.is_world_process_zero:
            self._metrics.progress(state.global_step, state.max_steps)


class Stopping(TrainerCallback):
    """Saves and ends the training at the end of the step in which somebody asked for it. All processes end at the same step."""

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self.stopped = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> TrainerControl:
        if state.global_step < state.max_steps and agreed(self._stop.is_set, device=args.device):
            self.stopped = control.should_save = control.should_training_stop = True
        return control


class Divergence(TrainerCallback):
    """Ends the training before the weights take a step along a gradient that is no number. Raises FinetuneError."""

    def on_pre_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        model: torch.nn.Module = more["model"]
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        norm: Any = torch.nn.utils.get_total_norm(gradients)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # sharded parameters
        if not math.isfinite(float(norm)):
            raise diverged(state.global_step + 1, checkpoints.newest(_folder(args)))


class Keeping(TrainerCallback):
    """Seals each checkpoint when all processes have written theirs, and deletes older ones."""

    def __init__(self, keep: int, spare: Collection[int] = ()) -> None:
        """`spare`: steps whose checkpoints stay in any case; it may grow while the training runs."""
        self._keep = keep
        self._spare = spare

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        if distributed.is_available() and distributed.is_initialized():
            distributed.barrier()
        if state.is_world_process_zero:
            folder = _folder(args)
            checkpoints.seal(checkpoints.at(folder, state.global_step))
            checkpoints.prune(folder, keep=self._keep, spare=self._spare)


def train(trainer: Trainer, context: StageContext, *, keep: int, callbacks: Sequence[TrainerCallback] = (), spare: Collection[int] = ()) -> int:
    """Run `trainer` to its end, from the last whole checkpoint where there is one; returns the step it began at.

    `keep` and `spare` say which checkpoints stay, `callbacks` are further ones. Raises Interrupted when somebody asked to stop and everything is saved,
    FinetuneError where the loss is no number or the disk is full.
    """
    trainer.remove_callback(PrinterCallback)
    stopping = Stopping(context.stop)
    # Keeping comes after the stage's own callbacks, since these may add files to a checkpoint before it is sealed.
    for callback in (Reporting(context.metrics), Divergence(), *callbacks, stopping, Keeping(keep, spare)):
        trainer.add_callback(callback)
    newest = checkpoints.newest(_folder(trainer.args))
    with disk_watched(context.folder), quiet():
        trainer.train(resume_from_checkpoint=None if newest is None else str(newest))
    if stopping.stopped:
        raise Interrupted(f"{context.id} stopped at step {trainer.state.global_step} of {trainer.state.max_steps}.")
    return checkpoints.step_of(newest) if newest else 0


def diverged(step: int, kept: Path | None) -> FinetuneError:
    """The error for a loss or a gradient that is no number."""
    rest = f"{kept.name} is the last good one and was kept" if kept else "no checkpoint was saved before"
    return FinetuneError(f"The training diverged: at step {step} the gradient is no number; {rest}. Set a lower learning_rate or a longer warmup.")


def _folder(args: TrainingArguments) -> Path:
    assert args.output_dir is not None
    return Path(args.output_dir)


def agreed(asked: bool, *, device: torch.device | str = "cpu") -> bool:
    """Whether any process was asked; every process gets the same answer, and every one must call."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return asked
    flag = torch.tensor(float(asked), device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag.item())


@contextmanager
def disk_watched(folder: Path) -> Iterator[None]:
    """What fails within because the disk of `folder` is full raises FinetuneError. The libraries each name it in their own way."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
        if full or "No space left" in str(error) or shutil.disk_usage(folder).free < _LEAST_FREE:
            raise FinetuneError(f"The disk of {folder} is full: free some space and resume; the last whole checkpoint was kept.") from error
        raise
    except Exception as error:
        if "No space left" in str(error):  # safetensors has an error of its own
            raise FinetuneError(f"The disk of {folder} is full: free some space and resume; the last whole checkpoint was kept.") from error
        raise


@contextmanager
def quiet() -> Iterator[None]:
    """The libraries' own warnings and log lines stay off standard error, which belongs to our progress; errors are raised all the same."""
    if os.environ.get("GUARDRAIL_DEBUG"):
        yield
        return
    loggers = [logging.getLogger(name) for name in ("transformers", "accelerate", "peft", "trl", "datasets")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
