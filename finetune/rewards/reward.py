"""A reward is a weighted sum of terms, each of which scores a batch of replies. A gold score is one term that no reward holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from guardrail.errors import ConfigurationError, FinetuneError
from guardrail.finetune.rewards.wording import Length, Phrases, PythonFunction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from guardrail.finetune.data.rows import Prompt
    from guardrail.finetune.settings import RewardTermSettings
    from guardrail.finetune.stage import StageContext

    Values = NDArray[np.float64]


class Term(Protocol):
    """Scores replies; higher is better."""

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> Values:
        """n prompts and a reply to each; returns (n,)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What n replies are worth."""

    total: Values
    """The weighted sum, shape (n,)."""
    terms: Mapping[str, Values]
    """By name the score of each term, without its weight, shape (n,)."""


class Reward:
    """sum_i w_i term_i(prompt, reply), for batches."""

    def __init__(self, terms: Mapping[str, tuple[float, Term]]) -> None:
        """`terms`: by name its weight and what scores."""
        self._terms = dict(terms)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the terms, in order."""
        return tuple(self._terms)

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> Scores:
        """What each reply is worth. Raises FinetuneError where a term gives something that is no number."""
        total = np.zeros(len(replies))
        found: dict[str, Values] = {}
        for name, (weight, term) in self._terms.items():
            found[name] = _checked(name, term(prompts, replies), len(replies))
            total += weight * found[name]
        return Scores(total=total, terms=found)


def load_reward(terms: Sequence[RewardTermSettings], context: StageContext, *, device: str = "cpu") -> Reward:
    """The reward of a recipe. Two terms of one kind are called `kind` and `kind-2`. Raises ConfigurationError."""
    if not terms:
        raise ConfigurationError("reward: it has no terms, so every reply would be worth the same: name at least one.")
    seen: Counter[str] = Counter()
    found: dict[str, tuple[float, Term]] = {}
    for settings in terms:
        seen[settings.kind] += 1
        name = settings.kind if seen[settings.kind] == 1 else f"{settings.kind}-{seen[settings.kind]}"
        found[name] = (settings.weight, load_term(settings, context, device=device))
    return Reward(found)


def load_term(settings: RewardTermSettings, context: StageContext, *, device: str = "cpu") -> Term:
    """One term; its weight is left out of account. Raises ConfigurationError where it lacks what it needs."""
    match settings.kind:
        case "reward_model":
            from guardrail.finetune.rewards.reward_model import RewardModel  # noqa: PLC0415 - loads torch

            return RewardModel.load(context.resolve(_needed(settings.model, settings.kind, "model"), "reward"), device=device)
        case "groundedness":
            from guardrail.finetune.rewards.groundedness import Groundedness  # noqa: PLC0415 - loads onnxruntime

            return Groundedness()
        case "leakage":
            from guardrail.finetune.rewards.leakage import Leakage  # noqa: PLC0415 - not needed without one

            return Leakage.open(Path(context.resolve(_needed(settings.index, settings.kind, "index"), "leak_index")))
        case "phrases":
            if not settings.phrases:
                raise ConfigurationError("reward: a term of kind phrases needs `phrases`, at least one.")
            return Phrases(settings.phrases)
        case "length":
            return Length(settings.words)
        case "python":
            return PythonFunction.load(_needed(settings.path, settings.kind, "path"))


def _needed(value: str | None, kind: str, field: str) -> str:
    if value is None:
        raise ConfigurationError(f"reward: a term of kind {kind} needs `{field}`.")
    return value


def _checked(name: str, values: Values, count: int) -> Values:
    scores = np.asarray(values, np.float64)
    if scores.shape != (count,):
        raise FinetuneError(f"The reward term {name} gave {scores.shape} scores for {count} replies: it must give one number for each.")
    if not np.isfinite(scores).all():
        raise FinetuneError(f"The reward term {name} gave a score that is no finite number.")
    return scores
