"""A few demonstrations instead of many (Zhou et al. 2023, LIMA): the best ones, each unlike the others."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail.finetune.data.rows import Dialogue

SHORT, LONG = 20, 400
"""Words between which a reply has the length of an answer."""

_WORD = re.compile(r"\w+")
_ENDED = re.compile(r"""[.!?…:;)\]"'”’»`]\s*\Z""")
_RUN = 4


def quality(dialogue: Dialogue) -> float:
    """A cheap score of a dialogue's last reply, 0 to 1: the mean of

    - its length: 1 between SHORT and LONG words, falling with the logarithm outside;
    - its form: 1 where it ends as a sentence ends, else 0;
    - its freshness: the share of its four-word runs that do not stand in it before;
    - its ground, where there are passages: the share of its words of four letters and more that the passages have.

    It sees none of what makes an answer true or kind; it keeps out what is cut off, repeats itself, or says next to nothing.
    """
    reply = next(turn.content for turn in reversed(dialogue.messages) if turn.role == "assistant")
    words = [word.lower() for word in _WORD.findall(reply)]
    if not words:
        return 0.0
    runs = [tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)]
    parts = [_length(len(words)), float(bool(_ENDED.search(reply))), len(set(runs)) / len(runs) if runs else 1.0]
    if dialogue.passages:
        said = {word for word in words if len(word) >= 4}
        known = {word.lower() for passage in dialogue.passages for word in _WORD.findall(passage)}
        parts.append(len(said & known) / len(said) if said else 1.0)
    return sum(parts) / len(parts)


def select(scores: Sequence[float], vectors: NDArray[np.float32], *, keep: int, diversity: float) -> tuple[int, ...]:
    """Numbers of the rows to keep, best first, by maximal marginal relevance (Carbonell and Goldstein 1998):

        argmax over what is left of (1 - diversity) * score - diversity * (largest cosine with what is chosen)

    scores: (n,), 0 to 1; vectors: (n, d) of unit length.
    """
    worth = (1 - diversity) * np.array(scores, np.float64)
    nearest = np.zeros(len(worth))
    chosen: list[int] = []
    for _ in range(min(keep, len(worth))):
        marginal = worth - diversity * nearest
        marginal[chosen] = -np.inf
        best = int(marginal.argmax())
        chosen.append(best)
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return tuple(chosen)


def _length(words: int) -> float:
    if words < SHORT:
        return math.log1p(words) / math.log1p(SHORT)
    return 1.0 if words <= LONG else max(0.0, 1 - math.log(words / LONG))
