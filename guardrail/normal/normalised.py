"""A text with the place of every character in the text it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """`text`, and where in the original each of its characters stands."""

    text: str
    how: tuple[str, ...] = ()
    """How it was hidden, outermost first, e.g. `("base64", "rot13")`; empty for the text itself."""
    starts: tuple[int, ...] | None = None
    ends: tuple[int, ...] | None = None
    """For every character of `text` the stretch of the original that it stands for; None where each stands for itself. In reversed readings they descend."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The smallest stretch of the original that holds all that `text[start:end]` stands for; empty where that is empty."""
        if self.starts is None or self.ends is None:
            return start, end
        if start >= end:
            place = self.starts[start] if start < len(self.starts) else max(self.ends, default=0)
            return place, place
        return min(self.starts[start:end]), max(self.ends[start:end])

    def derived(self, text: str, spans: Iterable[tuple[int, int]], how: str | None = None) -> Normalised:
        """What was made of this text in a further step: `spans` gives for each of its characters the stretch of this text that it stands for."""
        steps = self.how if how is None else (*self.how, how)
        if self.starts is None:
            places = list(spans)
        elif how is None:  # cleaning: characters are dropped and joined one by one, in order
            places = [(self.starts[start], self.ends[end - 1]) for start, end in spans]  # type: ignore[index] # both are given or none
        else:
            known: dict[tuple[int, int], tuple[int, int]] = {}
            places = []
            for span in spans:
                if span not in known:
                    known[span] = self.original(*span)
                places.append(known[span])
        return Normalised(text=text, how=steps, starts=tuple(start for start, _ in places), ends=tuple(end for _, end in places))

    def part(self, start: int, end: int) -> Normalised:
        """`text[start:end]` alone."""
        if self.starts is None or self.ends is None:
            return Normalised(text=self.text[start:end], how=self.how, starts=tuple(range(start, end)), ends=tuple(range(start + 1, end + 1)))
        return Normalised(text=self.text[start:end], how=self.how, starts=self.starts[start:end], ends=self.ends[start:end])
