"""Literal phrases as one regular expression, and what may still become one of them at the end of a text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

GAP = 8
"""Most white space that may stand for one space of a phrase."""


def normal(phrase: str) -> str:
    """A phrase as it is compared: lower case, single spaces."""
    return " ".join(phrase.lower().split())


def longest(phrase: str) -> int:
    """Most characters that a match of `phrase` can have."""
    return len(phrase) + (GAP - 1) * phrase.count(" ")


def compiled(phrases: Iterable[str], *, begun: bool = False) -> re.Pattern[str]:
    """Matches any of the phrases (as `normal` gives them) whatever their case, at word boundaries, with any white space up to `GAP` for a space.

    It branches on each character once, so its time hardly grows with the number of phrases. With `begun` it matches what may become a phrase: the beginning
    of one, at the end of the text.
    """
    root: dict[str, Any] = {}
    for phrase in phrases:
        node = root
        for character in phrase:
            node = node.setdefault(character, {})
        node[""] = {}
    return re.compile(rf"(?<!\w){_branch(root, '', begun=begun)}", re.IGNORECASE)


def _branch(node: dict[str, Any], before: str, *, begun: bool) -> str:
    ends = [r"(?!\w)" if before.isalnum() or before == "_" else ""] if "" in node else []
    if begun:
        ends = [r"\Z"] if before else []
    ways = [
        (rf"\s{{1,{GAP}}}" if character == " " else re.escape(character)) + _branch(rest, character, begun=begun)
        for character, rest in node.items()
        if character
    ]
    # Longer phrases come first, so that a match covers all of the phrase.
    return f"(?:{'|'.join(ways + ends)})" if len(ways) + len(ends) > 1 else (ways + ends)[0]
