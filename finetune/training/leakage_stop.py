"""Ends a training before the model recites what it was trained on."""

# ruff: noqa: ARG002 - the signatures of callbacks are the library's
from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from guardrail.errors import ConfigurationError
from guardrail.finetune.data.goldfish import IGNORED
from guardrail.finetune.training.continuation import continuations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.finetune.data.encoding import Encoded
    from guardrail.finetune.settings import LeakageStopSettings
    from guardrail.finetune.training.ledger import Ledger

RECITED = "recited"
"""Share of the probed rows that the model goes on with word for word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Tokens that a row begins with, and those that follow there."""

    given: tuple[int, ...]
    following: tuple[int, ...]


def probes(rows: Sequence[Encoded], settings: LeakageStopSettings, *, seed: int) -> tuple[Probe, ...]:
    """`settings.rows` training rows, drawn once: `prefix` tokens and the `prefix` tokens behind them (Carlini et al. 2022, definition 3.1), of a dialogue those
    at the beginning of what the assistant says. Raises ConfigurationError where no row is long enough.
    """
    size = settings.prefix
    found = {}
    for row in rows:
        learned = np.flatnonzero(row.labels != IGNORED)
        begin = max(size, int(learned[0]) if len(learned) else 0)
        if len(row.ids) >= begin + size:
            ids = tuple(map(int, row.ids[begin - size : begin + size]))
            found[ids] = Probe(given=ids[:size], following=ids[size:])
    if not found:
        raise ConfigurationError(f"leakage_stop: no training row has {2 * size} tokens to be probed with; lower leakage_stop.prefix.")
    return tuple(random.Random(f"probes:{seed}").sample(sorted(found.values(), key=lambda probe: probe.given), min(settings.rows, len(found))))


def recited(model: Any, asked: Sequence[Probe], *, pad: int) -> float:
    """Share of `asked` that the model goes on with as the row does, decoding greedily."""
    replies = continuations(model, [probe.given for probe in asked], tokens=len(asked[0].following), pad=pad)
    return sum(reply == probe.following for reply, probe in zip(replies, asked, strict=True)) / len(asked)


class LeakageStop(TrainerCallback):
    """Measures every `every` steps and after the last; saves where the model is within the limit, and ends the training where not.

    `spare` holds the step of the last checkpoint within the limit.
    """

    def __init__(self, asked: Sequence[Probe], settings: LeakageStopSettings, ledger: Ledger, *, pad: int) -> None:
        self._asked = asked
        self._settings = settings
        self._ledger = ledger
        self._pad = pad
        self.spare = {step for step in (self.good,) if step}

    @property
    def good(self) -> int | None:
        """The last step within the limit that no step over it stands before; 0 is the model as it came, None where that is over it already."""
        good = None
        for entry in self._ledger.entries:
            if entry.values[RECITED] > self._settings.limit:
                break
            good = entry.step
        return good

    @property
    def over(self) -> int | None:
        """The first step that was found over the limit."""
        return next((entry.step for entry in self._ledger.entries if entry.values[RECITED] > self._settings.limit), None)

    def share(self, step: int) -> float:
        """What was measured at a step."""
        return next(entry.values[RECITED] for entry in self._ledger.entries if entry.step == step)

    def begin(self, model: Any, *, write: bool) -> bool:
        """Measure the model as it came; whether it may be trained, now or after what was measured before."""
        if 0 not in self._ledger:
            self._ledger.add(0, {RECITED: recited(model, self._asked, pad=self._pad)}, write=write)
        return self.over is None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> TrainerControl:
        if state.global_step % self._settings.every and state.global_step != state.max_steps:
            return control
        share = recited(more["model"], self._asked, pad=self._pad)
        self._ledger.add(state.global_step, {RECITED: share}, write=state.is_world_process_zero)
        if self.over is not None:
            control.should_training_stop = True
        else:
            self.spare.clear()
            self.spare.add(state.global_step)
            control.should_save = True
        return control
