"""Training on rows whose every label is known: pre-training and supervised fine-tuning."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from guardrail.finetune.training.arguments import training_arguments
from guardrail.finetune.training.callbacks import disk_watched
from guardrail.finetune.training.heldout import collated
from guardrail.finetune.training.models import save_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from guardrail.finetune.data.encoding import Encoded
    from guardrail.finetune.data.packing import Packed
    from guardrail.finetune.settings import TrainingSettings
    from guardrail.finetune.stage import StageContext


def save(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, folder: Path, *, base: str | None = None) -> dict[str, str]:
    """The trained model as the stage's outputs (see `save_model`), written by the first process; all must call."""
    spread = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if spread else None
    outputs = {}
    if trainer.is_world_process_zero():
        with disk_watched(folder):
            outputs = save_model(trainer.model, tokenizer, folder, base=base, state=state)
    trainer.accelerator.wait_for_everyone()
    return outputs


class Ordered(Dataset[dict[str, Any]]):
    """Rows in the order in which they are learned."""

    def __init__(self, rows: Sequence[Encoded], order: NDArray[np.int64]) -> None:
        self._rows = rows
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int) -> dict[str, Any]:
        row = self._rows[self._order[number]]
        return {"input_ids": row.ids, "labels": row.labels}


class PackedRows(Dataset[dict[str, Any]]):
    """Packed texts as torch wants them."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self._packed[number]


def trainer(model: PreTrainedModel, rows: Ordered | PackedRows, settings: TrainingSettings, context: StageContext, *, pad: int, **arguments: Any) -> Trainer:
    """Hugging Face's trainer over `rows`, which are taken as they come: one step reads `global_batch` of them, whatever the number of devices.

    The loss is the mean over all labels of a step: -1/|L| sum over L of log p(x_t | x_<t), L being the places whose label counts.
    """
    steps, rest = divmod(len(rows), settings.global_batch)
    assert not rest
    made = training_arguments(TrainingArguments, settings, context, steps=steps, train_sampling_strategy="sequential", **arguments)
    return Trainer(model=model, args=made, train_dataset=rows, data_collator=partial(collated, pad=pad))
