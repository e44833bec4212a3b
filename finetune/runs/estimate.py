"""Memory and time that a stage will take, roughly: to tell what fits and what takes a night before it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardrail.finetune.recipe import (
    DistillationSettings,
    DpoSettings,
    GroupSettings,
    HygieneSettings,
    PpoSettings,
    PreferencesSettings,
    RejectionSettings,
)
from guardrail.finetune.runs import launcher, model_size
from guardrail.finetune.runs.manifest import STAGES
from guardrail.finetune.settings import MixtureSettings, TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail.finetune.recipe import RecipeSettings
    from guardrail.finetune.runs.manifest import OutputEntry
    from guardrail.finetune.runs.model_size import ModelSize

PROGRAM = 600_000_000
"""Bytes of Python, torch and transformers themselves."""
CPU_RATE, GPU_RATE = 1e11, 1e14
"""Operations a second: of a core as measured (3,000 tokens a second of a Llama of 13 million parameters on two), of a large GPU a third of its best."""
_TRAINED, _TRAINED_HALF = 16, 18
"""Bytes a parameter that is trained: weight, gradient and Adam's two moments in 32 bits; and the 16-bit copy that it computes with."""
_ACTIVATION = 34
"""Bytes a token, layer and hidden unit in 16 bits (Korthikanti et al. 2022, equation 2, without the attention matrix, which is not kept)."""
_BYTES_OF_TOKEN = 4
"""Of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one stage takes; None: cannot be told. `memory` in bytes on each device, `seconds` from the stated rates."""

    parameters: int | None = None
    memory: int | None = None
    steps: int | None = None
    seconds: float | None = None


class Estimator:
    """Estimates for one recipe; what stands in the run folder already is looked at."""

    def __init__(self, recipe: RecipeSettings, folder: Path, outputs: Mapping[str, Mapping[str, OutputEntry]]) -> None:
        """`outputs` of the stages that are done."""
        self._recipe = recipe
        self._folder = folder
        self._outputs = outputs
        self._gpu = recipe.launch != launcher.SINGLE and not launcher.on_cpu(recipe.launch)

    def of(self, stage: str) -> Estimate:
        settings = self._recipe.stages[stage]
        size = self._size(settings)
        training = getattr(settings, "training", None)
        if size is None or not isinstance(training, TrainingSettings):
            memory = None if size is None else PROGRAM + size.parameters * (2 if self._gpu else 4)
            return Estimate(parameters=size.parameters if size is not None else None, memory=memory)
        steps = self.steps(settings)
        return Estimate(
            parameters=size.parameters,
            memory=self._memory(settings, training, size),
            steps=steps,
            seconds=None if steps is None else self._seconds(settings, training, size, steps),
        )

    def steps(self, settings: Any) -> int | None:
        """Steps of a training; None where its rows cannot be counted yet."""
        if isinstance(settings, PpoSettings):
            return settings.updates
        training: TrainingSettings = settings.training
        source: str | tuple[MixtureSettings, ...] = getattr(settings, "data", None) or settings.prompts
        sources = [(item.data, item.weight) for item in source] if isinstance(source, tuple) else [(source, 1.0)]
        counts = [self._rows(reference, training.max_length) for reference, _ in sources]
        if any(count is None for count in counts):
            return training.max_steps
        rows = sum((count or 0) * weight for count, (_, weight) in zip(counts, sources, strict=True))
        steps = max(1, round(rows * training.epochs * getattr(settings, "group", 1) / training.global_batch))
        return steps if training.max_steps is None else min(steps, training.max_steps)

    def _size(self, settings: Any) -> ModelSize | None:
        """Of the model that a stage starts from or works with."""
        made = model_size.new(settings)
        reference = getattr(settings, "model", None)
        if made is not None or not isinstance(reference, str):
            return made
        if reference == "encoder":
            return model_size.ENCODER
        if reference not in self._recipe.stages:
            return model_size.of_folder(Path(reference)) if Path(reference).is_absolute() else None
        output = self._outputs.get(reference, {}).get("model")
        known = model_size.of_folder(self._folder / STAGES / reference / output.path) if output is not None else None
        return known if known is not None else self._size(self._recipe.stages[reference])

    def _memory(self, settings: Any, training: TrainingSettings, size: ModelSize) -> int:
        half = training.precision == "bf16" or (training.precision == "auto" and self._gpu)
        trained_bytes, still_bytes = (_TRAINED_HALF, 2) if half else (_TRAINED, 4)
        lora = getattr(settings, "lora", None)
        trained = size.parameters if lora is None else model_size.adapter(size, lora)
        weights = trained * trained_bytes
        if lora is not None:
            weights += round(size.parameters * (0.56 if lora.quantize == "4bit" else still_bytes))
        if isinstance(settings, PpoSettings):
            weights += trained * trained_bytes  # the critic
        if lora is None and isinstance(settings, PpoSettings | GroupSettings | DpoSettings):
            weights += size.parameters * still_bytes  # the reference
        if isinstance(settings, PpoSettings | GroupSettings | RejectionSettings | DistillationSettings):
            weights += size.parameters * still_bytes * sum(term.kind == "reward_model" for term in settings.reward)
        tokens = training.micro_batch * training.max_length
        layer = tokens * size.hidden * _ACTIVATION * (1 if half else 2)
        kept = layer + 2 * tokens * size.hidden * size.layers if training.gradient_checkpointing else layer * size.layers
        logits = tokens * size.vocabulary * 4 * 3  # in 32 bits, with their gradient and the softmax
        return PROGRAM + weights + kept + logits

    def _seconds(self, settings: Any, training: TrainingSettings, size: ModelSize, steps: int) -> float:
        """Six operations a parameter and token (Kaplan et al. 2020), two more for each model that only reads or writes."""
        rows, passes, work = training.global_batch, 1, 6
        if isinstance(settings, PpoSettings):
            rows, passes, work = settings.rollout_batch, settings.inner_epochs, 12
        readers = 2 * (1 + sum(term.kind == "reward_model" for term in settings.reward)) if hasattr(settings, "reward") else 0
        operations = steps * rows * training.max_length * size.parameters * (work * passes + readers)
        devices = launcher.processes(self._recipe.launch) * GPU_RATE if self._gpu else (os.cpu_count() or 1) * CPU_RATE
        return operations / devices

    def _rows(self, reference: str, length: int) -> int | None:
        """Rows of a source, at most."""
        if reference not in self._recipe.stages:
            return _rows_of(Path(reference), length) if Path(reference).is_absolute() else None
        folder = self._folder / STAGES / reference
        made = [folder / output.path for name, output in self._outputs.get(reference, {}).items() if name in {"texts", "dialogues", "preferences"}]
        if made:
            return sum(_rows_of(path / "train.jsonl", length) or 0 for path in made)
        settings = self._recipe.stages[reference]
        sources: tuple[str, ...] = ()
        if isinstance(settings, HygieneSettings):
            sources = (*settings.texts, *settings.dialogues)
        elif isinstance(settings, PreferencesSettings):
            sources = (*settings.files, *settings.feedback)
        counts = [self._rows(source, length) for source in sources]
        return None if not counts or None in counts else sum(count or 0 for count in counts)


def _rows_of(path: Path, length: int) -> int | None:
    """Lines of .jsonl, pieces of `length` tokens of everything else."""
    try:
        if path.is_dir():
            return sum(_rows_of(item, length) or 0 for item in sorted(path.rglob("*")) if item.suffix in {".txt", ".md", ".jsonl"})
        if path.suffix == ".jsonl":
            with path.open("rb") as file:
                return sum(1 for line in file if line.strip())
        return max(1, path.stat().st_size // (_BYTES_OF_TOKEN * length))
    except OSError:
        return None
