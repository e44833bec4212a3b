"""The best of several replies to one prompt, and what choosing it was worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.finetune.data.rows import Prompt
    from guardrail.finetune.rewards.reward import Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The reply that the reward puts first."""

    reply: str
    place: int
    """Among the prompt's replies."""
    score: float
    mean: float
    """Of all the prompt's replies."""


def best_of(prompts: Sequence[Prompt], replies: Sequence[Sequence[str]], reward: Reward) -> list[Best]:
    """For each prompt the best of its replies: argmax_y r(x, y) (Touvron et al. 2023, section 3.2.3). Of equals the first."""
    if not prompts:
        return []
    counts = [len(group) for group in replies]
    asked = [prompt for prompt, count in zip(prompts, counts, strict=True) for _ in range(count)]
    totals = reward(asked, [reply for group in replies for reply in group]).total
    found = []
    for group, scores in zip(replies, np.split(totals, np.cumsum(counts)[:-1]), strict=True):
        place = int(scores.argmax())
        found.append(Best(reply=group[place], place=place, score=float(scores[place]), mean=float(scores.mean())))
    return found
