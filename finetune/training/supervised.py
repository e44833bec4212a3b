"""Training on rows whose every label is known: pre-training and supervised fine-tuning."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainingArguments

from guardrail.finetune.data.goldfish import IGNORED
from guardrail.finetune.training.arguments import training_arguments
from guardrail.finetune.training.callbacks import disk_watched
from guardrail.finetune.training.heldout import collated
from guardrail.finetune.training.models import save_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.data.encoding import Encoded
    from guardrail.finetune.data.packing import Filled, Packed
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
    """The first `count` packed rows as torch wants them, begun anew where there are fewer."""

    def __init__(self, packed: Packed | Filled, count: int) -> None:
        self._packed = packed
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self._packed[number % len(self._packed)]


def trainer(model: PreTrainedModel, rows: Ordered | PackedRows, settings: TrainingSettings, context: StageContext, *, pad: int, **arguments: Any) -> Trainer:
    """Hugging Face's trainer over `rows`, which are taken as they come: one step reads `global_batch` of them, whatever the number of devices.

    The loss is the mean over all labels of a step: -1/|L| sum over L of log p(x_t | x_<t), L being the places whose label counts.
    """
    steps, rest = divmod(len(rows), settings.global_batch)
    assert not rest
    made = training_arguments(TrainingArguments, settings, context, steps=steps, train_sampling_strategy="sequential", **arguments)
    kind = Compiled if settings.compile else Trainer
    return kind(model=model, args=made, train_dataset=rows, data_collator=partial(collated, pad=pad))


class Compiled(Trainer):
    """The trainer with a compiled network, and with logits for those places only whose label counts: a third more tokens a second on a CPU.

    The loss is the same where logits are what the head gives, unscaled, as in Llama, Qwen and Lfm2. On several devices and with adapters, where the network is
    wrapped, it is neither: the trainer's own way is taken.
    """

    _body: Any = None

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        if model is not self.model or not isinstance(model, PreTrainedModel) or return_outputs or num_items_in_batch is None:
            return super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)
        network: Any = model
        if self._body is None:
            self._body = torch.compile(network.base_model, dynamic=False)
        wanted = inputs["labels"][:, 1:]
        counted = wanted != IGNORED
        with self.accelerator.autocast():
            states = self._body(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state[:, :-1]
            logits = network.get_output_embeddings()(states[counted])
        return cross_entropy(logits.float(), wanted[counted], reduction="sum") / num_items_in_batch
