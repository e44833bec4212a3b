"""The loss of a model on rows, with its confidence interval, and its course while the model is trained."""

# ruff: noqa: ARG002 - the signatures of callbacks are the library's
from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from guardrail.finetune.data.goldfish import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail.finetune.data.encoding import Encoded
    from guardrail.finetune.training.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Sums over the labels of each row, shape (n,)."""

    nats: NDArray[np.float64]
    right: NDArray[np.int64]
    """Labels that are the likeliest token."""
    labels: NDArray[np.int64]

    @property
    def loss(self) -> float:
        """Nats a label."""
        return float(self.nats.sum() / self.labels.sum())

    @property
    def accuracy(self) -> float:
        return float(self.right.sum() / self.labels.sum())

    @property
    def loss_interval(self) -> tuple[float, float] | None:
        """95 %, over rows, of a ratio of sums (Cochran 1977, eq. 6.13); None for fewer than two rows."""
        return _interval(self.nats, self.labels)

    @property
    def accuracy_interval(self) -> tuple[float, float] | None:
        return _interval(self.right.astype(np.float64), self.labels)

    def of(self, chosen: NDArray[np.bool_]) -> Measured:
        """Only the rows that are chosen, shape (n,)."""
        return Measured(nats=self.nats[chosen], right=self.right[chosen], labels=self.labels[chosen])


@torch.no_grad()
def measure(model: Any, rows: Sequence[Encoded], *, pad: int, batch: int, bf16: bool = False) -> Measured:
    """The model on every row, in evaluation mode; its mode is left as it was. Rows without labels count nothing."""
    was_training = model.training
    model.eval()
    nats, right, labels = np.zeros(len(rows)), np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    by_length = sorted(range(len(rows)), key=lambda number: len(rows[number].ids))
    for start in range(0, len(rows), batch):
        numbers = by_length[start : start + batch]
        made = collated([{"input_ids": rows[number].ids, "labels": rows[number].labels} for number in numbers], pad=pad)
        device = next(model.parameters()).device
        ids, wanted = made["input_ids"].to(device), made["labels"].to(device)[:, 1:]
        with torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        each = cross_entropy(logits.float().transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none")
        counted = wanted != IGNORED
        nats[numbers] = each.sum(1).double().cpu().numpy()
        right[numbers] = ((logits.argmax(-1) == wanted) & counted).sum(1).cpu().numpy()
        labels[numbers] = counted.sum(1).cpu().numpy()
    model.train(was_training)
    return Measured(nats=nats, right=right, labels=labels)


def collated(rows: Sequence[dict[str, NDArray[np.int32]]], *, pad: int) -> dict[str, torch.Tensor]:
    """Rows padded on the right to the longest, both (b, n). The first label of a row is never asked for: nothing stands before it.

    There is no attention mask: what comes before never sees the padding behind it, and attention without a mask is much faster.
    """
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), IGNORED)
    for number, row in enumerate(rows):
        size = len(row["input_ids"])
        ids[number, :size] = torch.from_numpy(row["input_ids"].astype(np.int64))
        labels[number, 1:size] = torch.from_numpy(row["labels"].astype(np.int64))[1:]
    return {"input_ids": ids, "labels": labels}


class HeldOutLoss(TrainerCallback):
    """Writes the held-out loss into a ledger before the first step, every `every` steps, and after the last."""

    def __init__(self, rows: Sequence[Encoded], ledger: Ledger, *, pad: int, batch: int, every: int) -> None:
        self._rows = rows
        self._ledger = ledger
        self._pad = pad
        self._batch = batch
        self._every = every

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        if state.global_step not in self._ledger:
            self._measure(args, state, more["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._measure(args, state, more["model"])

    def _measure(self, args: TrainingArguments, state: TrainerState, model: Any) -> None:
        measured = measure(model, self._rows, pad=self._pad, batch=self._batch, bf16=args.bf16)
        self._ledger.add(state.global_step, {"loss": measured.loss, "accuracy": measured.accuracy}, write=state.is_world_process_zero)


def _interval(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float] | None:
    rows, total = len(sums), counts.sum()
    if rows < 2:
        return None
    ratio = sums.sum() / total
    error = math.sqrt(float(((sums - ratio * counts) ** 2).sum()) * rows / (rows - 1)) / total
    return float(ratio - 1.96 * error), float(ratio + 1.96 * error)
