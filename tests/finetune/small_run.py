"""What the tests of stages share: a context to run them in, and a base model with random weights, made in a moment."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from guardrail.finetune.settings import ArchitectureSettings, TrainingSettings
from guardrail.finetune.stage import StageContext, StopSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

WORDS = "soul just good true wise city law love fire water earth number motion rest form virtue".split()
ARCHITECTURE = ArchitectureSettings(layers=2, hidden=32, feed_forward=64, heads=4, key_value_heads=2, context=256, vocabulary=400)
TRAINING = TrainingSettings(learning_rate=3e-3, global_batch=4, micro_batch=2, max_length=64, save_steps=4, log_steps=1, epochs=2)


class Recorder:
    """Metrics kept in memory; `at_step` is called with the number of every step that is done."""

    def __init__(self, at_step: Callable[[int], None] | None = None) -> None:
        self.written: list[tuple[int, dict[str, float]]] = []
        self._at_step = at_step

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.written.append((step, dict(values)))

    def progress(self, done: int, total: int, note: str = "") -> None:
        if self._at_step is not None:
            self._at_step(done)


def context(folder: Path, inputs: Mapping[str, Path], *, metrics: Recorder | None = None, stop: StopSignal | None = None, seed: int = 0) -> StageContext:
    """A stage's context in `folder`; `inputs` by the names that the settings use."""
    folder.mkdir(parents=True, exist_ok=True)
    return StageContext(id=folder.name, folder=folder, inputs=inputs, seed=seed, metrics=metrics or Recorder(), stop=stop or StopSignal())


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A .jsonl file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def dialogue(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


def make_base(folder: Path, *, seed: int = 0, context: int = ARCHITECTURE.context) -> Path:
    """A model folder with random weights and our own tokenizer and template; `context`: tokens that it reads."""
    from guardrail.finetune.training.base_model import learn_tokenizer, make_model
    from guardrail.finetune.training.models import write_folder

    corpus = [f"What is {word}? It is {other}." for word in WORDS for other in WORDS]
    architecture = replace(ARCHITECTURE, context=context)
    tokenizer = learn_tokenizer(corpus, vocabulary=architecture.vocabulary, context=context)
    write_folder(make_model(architecture, tokenizer, seed=seed), tokenizer, folder)
    return folder


def weights(folder: Path, name: str = "model.safetensors") -> dict[str, Any]:
    """The tensors of a safetensors file."""
    from safetensors.numpy import load_file

    return load_file(folder / name)


def largest_difference(one: Path, other: Path, name: str = "model.safetensors") -> float:
    """Of any weight of two folders."""
    left, right = weights(one, name), weights(other, name)
    assert left.keys() == right.keys()
    return max(float(abs(left[key] - right[key]).max()) for key in left)
