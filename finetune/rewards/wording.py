"""Terms that look at the words of a reply alone, and a term of the user's own."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from guardrail.finetune.data.rows import Prompt

_WORD = re.compile(r"\w+")


class Phrases:
    """The share of the given phrases that a reply holds as whole words, whatever their case, 0 to 1."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self._patterns = [re.compile(rf"(?<!\w){re.escape(phrase.strip())}(?!\w)", re.IGNORECASE) for phrase in phrases]

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> NDArray[np.float64]:  # noqa: ARG002 - what a term is given
        return np.array([sum(pattern.search(reply) is not None for pattern in self._patterns) / len(self._patterns) for reply in replies])


class Length:
    """1 at `words` words, falling evenly to 0 at none and at twice as many."""

    def __init__(self, words: int) -> None:
        self._words = words

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> NDArray[np.float64]:  # noqa: ARG002 - what a term is given
        counts = np.array([len(_WORD.findall(reply)) for reply in replies], np.float64)
        return np.maximum(0.0, 1.0 - np.abs(counts - self._words) / self._words)


class PythonFunction:
    """A function of the user's own: called with the prompts (`guardrail.finetune.data.rows.Prompt`) and the replies, it gives one number for each reply."""

    def __init__(self, function: Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]) -> None:
        self._function = function

    @classmethod
    def load(cls, path: str) -> PythonFunction:
        """`module:function`; the module must be importable. Raises ConfigurationError."""
        module, colon, name = path.partition(":")
        if not colon or not module or not name:
            raise ConfigurationError(f"reward: path is '{path}' and must be `module:function`.")
        try:
            function = getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise ConfigurationError(f"reward: {module} cannot be imported ({error}): put its folder on PYTHONPATH.") from None
        except AttributeError:
            raise ConfigurationError(f"reward: the module {module} has no function {name}.") from None
        return cls(function)

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> NDArray[np.float64]:
        return np.asarray(self._function(prompts, replies), np.float64)
