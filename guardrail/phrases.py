"""Literal phrases as one regular expression, and what may still become one of them at the end of a text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GAP = 8
"""Most white space that may stand for one space of a phrase."""


def normal(phrase: str) -> str:
    """A phrase as it is compared: lower case, single spaces."""
    return " ".join(phrase.lower().split())


def longest(phrase: str) -> int:
    """Most characters that a match of `phrase` can have."""
    return len(phrase) + (GAP - 1) * phrase.count(" ")


class Matcher(Protocol):
    """What of a regular expression is needed here. Of a match only the place counts: its text may be in lower case."""

    def search(self, text: str, start: int = 0, /) -> re.Match[str] | None: ...

    def finditer(self, text: str, start: int = 0, /) -> Iterator[re.Match[str]]: ...


class _AnyCase:
    """`expression`, which is in lower case, whatever the case of the text."""

    __slots__ = ("_any", "_ascii_only", "_lower")

    def __init__(self, expression: str) -> None:
        self._any = re.compile(expression, re.IGNORECASE)
        self._lower = re.compile(expression)
        self._ascii_only = expression.isascii()

    def search(self, text: str, start: int = 0, /) -> re.Match[str] | None:
        return self._lower.search(text.lower(), start) if self._ascii_only and text.isascii() else self._any.search(text, start)

    def finditer(self, text: str, start: int = 0, /) -> Iterator[re.Match[str]]:
        # Letter by letter whatever its case takes twice as long, and in ASCII every letter has one other case and keeps its place.
        return self._lower.finditer(text.lower(), start) if self._ascii_only and text.isascii() else self._any.finditer(text, start)


def compiled(phrases: Iterable[str], *, begun: bool = False) -> Matcher:
    """What matches any of the phrases (as `normal` gives them) whatever their case, at word boundaries, with any white space up to `GAP` for a space.

    It branches on each character once, so its time hardly grows with the number of phrases. With `begun` it matches what may become a phrase: the beginning
    of one, at the end of the text.
    """
    root: dict[str, Any] = {}
    for phrase in phrases:
        node = root
        for character in phrase:
            node = node.setdefault(character, {})
        node[""] = {}
    return _AnyCase(rf"(?<!\w){_branch(root, '', begun=begun)}")


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
