"""Words that stand just before a number or a token and tell what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

LOOKBACK = 30
"""Characters before a value in which its cue may stand. Less than what a stream shows again of the text it has already released."""


def cued(text: str, start: int, words: re.Pattern[str]) -> bool:
    """Whether `words` matches within the `LOOKBACK` characters before `start`."""
    return words.search(text, max(0, start - LOOKBACK), start) is not None
