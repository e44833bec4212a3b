"""Our settings of a training as the arguments of Hugging Face's Trainer, and of the trainers made from it."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from accelerate import PartialState
from transformers import TrainingArguments
from transformers.utils import logging

from guardrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.finetune.settings import TrainingSettings
    from guardrail.finetune.stage import StageContext

CHECKPOINTS = "checkpoints"
"""In a stage's folder."""

_Arguments = TypeVar("_Arguments", bound=TrainingArguments)


def uses_cpu() -> bool:
    """Whether training runs on the CPU: there is no GPU, or `ACCELERATE_USE_CPU` is set."""
    return not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true", "yes"}


def uses_bf16(settings: TrainingSettings) -> bool:
    """Whether the forward pass runs in bfloat16."""
    if settings.precision == "auto":
        return not uses_cpu() and torch.cuda.is_bf16_supported()
    return settings.precision == "bf16"


def devices() -> int:
    """How many processes train together."""
    return int(PartialState(cpu=uses_cpu()).num_processes)


@contextmanager
def main_process_first() -> Iterator[None]:
    """What is done within is done by the first process before the others come to it, also where the first one leaves it with an error: none waits for ever."""
    state = PartialState(cpu=uses_cpu())
    if not state.is_main_process:
        state.wait_for_everyone()
    try:
        yield
    finally:
        if state.is_main_process:
            state.wait_for_everyone()


def accumulation(settings: TrainingSettings, *, devices: int) -> int:
    """Forward passes of each device for one step. Raises ConfigurationError where the global batch cannot be shared out evenly."""
    passes, rest = divmod(settings.global_batch, settings.micro_batch * devices)
    if rest or not passes:
        each, uneven = divmod(settings.global_batch, devices)
        fitting = [size for size in range(1, settings.micro_batch + 1) if not uneven and each % size == 0]
        advice = f"set micro_batch to {fitting[-1]}" if fitting else f"make global_batch a multiple of {devices}"
        raise ConfigurationError(
            f"training: a global_batch of {settings.global_batch} is no multiple of micro_batch {settings.micro_batch} x {devices} device(s); {advice}."
        )
    return passes


def steps_of(settings: TrainingSettings, rows: float) -> int:
    """Steps that `rows` an epoch make, not more than `max_steps`. Raises ConfigurationError where there are no rows."""
    if rows <= 0:
        raise ConfigurationError("There are no rows to train on: every one was left out, or the files are empty; the report of the stage before says why.")
    steps = math.ceil(settings.epochs * rows / settings.global_batch)
    return min(steps, settings.max_steps) if settings.max_steps else steps


def training_arguments(kind: type[_Arguments], settings: TrainingSettings, context: StageContext, *, steps: int | None = None, **more: Any) -> _Arguments:
    """`settings` as a `kind` (TrainingArguments, DPOConfig, GRPOConfig ...); `more` are further arguments of that kind, and win.

    `steps` (see `steps_of`) is how many there are; without it the trainer counts epochs, which leaves `max_steps` as the only bound.
    Checkpoints are pruned by `guardrail.finetune.training.callbacks`, not by the trainer.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # untyped in the library
    cpu = uses_cpu()
    values: dict[str, Any] = {
        "output_dir": str(context.folder / CHECKPOINTS),
        "num_train_epochs": settings.epochs,
        "max_steps": steps or settings.max_steps or -1,
        "per_device_train_batch_size": settings.micro_batch,
        "per_device_eval_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": accumulation(settings, devices=devices()),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": {"constant": "constant_with_warmup"}.get(settings.schedule, settings.schedule),
        "warmup_steps": settings.warmup if settings.warmup < 1 else steps or settings.max_steps or 0,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "activation_checkpointing": settings.gradient_checkpointing,
        "bf16": uses_bf16(settings),
        "use_cpu": cpu,
        "optim": "adamw_torch",
        "seed": context.seed,
        "data_seed": context.seed,
        "logging_steps": settings.log_steps,
        "logging_nan_inf_filter": False,
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "save_total_limit": None,
        "report_to": list(context.trackers) or "none",
        "disable_tqdm": True,
        "log_level": "error",
        "remove_unused_columns": False,
        "dataloader_pin_memory": not cpu,
        "ddp_find_unused_parameters": False,
    }
    return kind(**values | more)
