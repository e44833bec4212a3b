"""Whole sentences of a passage, found word for word whatever the white space, the quotation marks and the case of the first letter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Found:
    """Number of the text, and the stretch of it."""

    text: int
    start: int
    end: int


def find(claim: str, texts: Sequence[str]) -> Found | None:
    """Where all of `claim` stands in one of `texts` as one or more whole sentences in a row; None where it does not.

    Part of a sentence is not enough: "the soul is mortal" also stands in "It is false that the soul is mortal".
    """
    words = _run(claim)
    if not words:
        return None
    for number, text in enumerate(texts):
        sentences = _sentences(text)
        for first, (start, _, run) in enumerate(sentences):
            if words == run:
                return Found(number, start, sentences[first][1])
            if not words.startswith(run):
                continue
            joined = run
            for _, end, following in sentences[first + 1 :]:
                joined += following
                if words == joined:
                    return Found(number, start, end)
                if not words.startswith(joined):
                    break
    return None


@lru_cache(maxsize=512)
def _sentences(text: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((start, end, _run(text[start:end])) for start, end in spans(text))


def _run(text: str) -> str:
    return "".join(f"{word} " for word in _WORDS.findall(text.casefold()))
