"""Takes a model's reasoning out of its draft while it streams: what stands between `<tag>` and `</tag>` never leaves."""

from __future__ import annotations

import re
from functools import lru_cache

THINKING = ("think", "thinking")
"""Tags that models use of their own accord."""


class ReasoningFilter:
    """Feed it the draft's pieces; it returns them without the tagged stretches. A tag that never closes hides all that follows."""

    __slots__ = ("_closing", "_held", "_hiding", "_longest", "_opening")

    def __init__(self, *tags: str) -> None:
        self._opening, self._closing = _marks(tags)
        self._longest = max(len(tag) for tag in (*THINKING, *tags)) + len("</>")
        self._hiding = False
        self._held = ""

    def push(self, text: str, *, final: bool = False) -> str:
        """The visible part of what is certain so far; a piece that may be the beginning of a tag waits for the next call unless `final`."""
        if not self._hiding and not self._held and "<" not in text:
            return text
        self._held += text
        shown = ""
        while True:
            match = (self._closing if self._hiding else self._opening).search(self._held)
            if match is None:
                break
            if not self._hiding:
                shown += self._held[: match.start()]
            self._held = self._held[match.end() :]
            self._hiding = not self._hiding
        if final:
            rest, self._held = self._held, ""
            return shown + ("" if self._hiding else rest)
        start = self._held.rfind("<")
        waiting = self._held[start:] if start >= 0 and len(self._held) - start < self._longest else ""
        if not self._hiding:
            shown += self._held[: len(self._held) - len(waiting)]
        self._held = waiting
        return shown


@lru_cache
def _marks(tags: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What opens and what closes a hidden stretch. Kept, since a filter is made for every draft."""
    names = "|".join(re.escape(tag) for tag in (*THINKING, *tags))
    return re.compile(rf"<({names})>", re.IGNORECASE), re.compile(rf"</({names})>", re.IGNORECASE)
