"""How much of a reply the model recites from its training data, as a penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from guardrail.finetune.data.rows import turns
from guardrail.leaks.index import LeakIndex
from guardrail.leaks.overlap import OverlapMeter
from guardrail.rails.leak import RUN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.finetune.data.rows import Prompt


class Leakage:
    """Minus the share of a reply's words that stand in runs of the training data, -1 to 0. What the passages or the prompt supply is quotation, and free."""

    def __init__(self, index: LeakIndex) -> None:
        k = index.manifest.words.k
        self._meter = OverlapMeter(index.words, k, length=max(RUN, k + 1))

    @classmethod
    def open(cls, folder: Path) -> Leakage:
        """With the leak index in `folder`. Raises ConfigurationError."""
        return cls(LeakIndex.open(folder))

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> NDArray[np.float64]:
        return np.array([-self._coverage(prompt, reply) for prompt, reply in zip(prompts, replies, strict=True)])

    def _coverage(self, prompt: Prompt, reply: str) -> float:
        texts = (*prompt.passages, *(turn.content for turn in turns(prompt.prompt)))
        return self._meter.measure(reply, [self._meter.grams(text) for text in texts]).coverage
