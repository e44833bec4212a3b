"""Choices of one person between two sampled replies, kept in a file that a preferences stage reads."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from guardrail.finetune.data import rows
from guardrail.finetune.data.rows import Preference, Prompt
from guardrail.finetune.runs import fingerprint
from guardrail.finetune.settings import RolloutSettings, TrainingSettings
from guardrail.finetune.training.models import load_model, load_tokenizer
from guardrail.finetune.training.rollout import GenerateSampler, prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TRIES = 4
"""Times that two replies are sampled until they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two replies to a prompt, in the order in which they are shown."""

    prompt: Prompt
    replies: tuple[str, str]


class Collection:
    """Pairs to choose from, and the file that the choices go to.

    A prompt that this rater has chosen on before is not asked again, so that a person may stop and go on at any time.
    """

    def __init__(self, model: str, prompts: Sequence[Prompt], file: Path, *, rater: str, seed: int = 0, rollout: RolloutSettings | None = None) -> None:
        """Raises ConfigurationError where the model cannot be loaded or the file holds something else."""
        self._tokenizer = load_tokenizer(model)
        self._sampler = GenerateSampler(load_model(model, training=TrainingSettings()), self._tokenizer, rollout or RolloutSettings(max_tokens=200))
        self._hash = fingerprint.of(Path(model)) if Path(model).is_dir() else None
        self._file = file
        self._rater = rater
        self._draw = random.Random(f"{seed}:{rater}")
        done = {row.id for row in rows.read(file, Preference) if row.rater == rater} if file.exists() and file.stat().st_size else set()
        self._open = [prompt for prompt in prompts if prompt.id not in done]
        self.done = len(prompts) - len(self._open)
        torch.manual_seed(self._draw.getrandbits(32))

    def pairs(self) -> Iterator[Pair]:
        """One pair for each prompt that is left, sampled when it is asked for; a prompt to which the model always says the same gives none."""
        for prompt in self._open:
            tokens = prompt_tokens(prompt, self._tokenizer)
            for _ in range(_TRIES):
                one, other = (reply.text for reply in self._sampler.sample([tokens, tokens]))
                if one != other and one and other:
                    yield Pair(prompt=prompt, replies=(one, other))
                    break

    def choose(self, pair: Pair, chosen: int, strength: int) -> Preference:
        """Append the choice to the file. `chosen` is 0 or 1, `strength` from 1, negligibly better, to 4, significantly better. Raises OSError."""
        row = Preference(
            prompt=pair.prompt.prompt,
            chosen=pair.replies[chosen],
            rejected=pair.replies[1 - chosen],
            strength=strength,
            rater=self._rater,
            model=self._hash,
            id=pair.prompt.id,
        )
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(row) + b"\n")
        return row
