"""How much of a text stands in the training corpus, and was not supplied by retrieval or by the caller.

Terms. A *gram* is k words in a row. A gram is *leaked* where the corpus has it and no supplied text has. A word is *counted* where a leaked gram covers it and
no supplied gram does: so where a reply quotes a passage and goes on as the corpus does, only what comes after the quotation counts. Leaked grams form a
*run* as long as at most `bridge` words that are neither leaked nor supplied stand between them.

A run is *forbidden* where it has `STEADY` leaked grams in a row (k + 2 words as the corpus has them, where common phrases that happen to meet have but k or
k + 1), and where of its words that stand within `span` there are counted
- `length`, at least `CONTENT` of them different words with a meaning, or twice as many of any kind, or
- `RARE` different words with a meaning: a line of a bibliography or of Greek is few words, and says much.

Whether a gram is leaked depends on its own k words alone, and whether a word is counted on k - 1 words on either side. So what is forbidden in a text stays
so when the text goes on, and can be found again in any part of it that has k words more on the left: this is what makes a stream and the whole text agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guardrail.leaks.grams import LONGEST_WORD, WIDEST_GAP, grams, hashed, spread, whole, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail.leaks.grams import Hashes, Words
    from guardrail.leaks.table import GramTable

CONTENT = 3
"""Different words with a meaning without which a run is a common phrase."""
RARE = 7
"""Different words with a meaning that are enough by themselves."""
STEADY = 3
"""Leaked grams in a row without which a run is common phrases that happen to meet: chance makes one or two, an edited text keeps stretches of many."""
_FUNCTION = frozenset(
    hashed(word)
    for word in """
    a an the this that these those i me my mine myself we us our ours you your yours he him his himself she her it its itself they them their themselves
    who whom whose which what when where why how am is are was were be been being have has had having do does did doing will would shall should can could
    may might must ought and or but if then else so as than of in on at by for from to into upon with within without about against between among through
    during before after above below under over again there here all any both each every few more most other another some such no nor not only own same too
    very also even yet still though because while until unless whether thus therefore hence however one two out up down off s t d ll ve re m
    """.split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A forbidden run: it begins at `start` and is certain at `end`, characters of the text. It may go on: as far as the text goes, to `last`."""

    start: int
    end: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What a text shares with the corpus."""

    words: int
    covered: int
    """Words that are counted."""
    longest: int
    """Counted words of the longest run."""
    dense: int
    """Most counted words of a run within `span`; at least `length` where a run is forbidden, and less where none is."""
    runs: tuple[Run, ...]
    """The forbidden ones, in order."""

    @property
    def coverage(self) -> float:
        """Share of the words that are counted, 0 to 1."""
        return self.covered / self.words if self.words else 0.0


class OverlapMeter:
    """Measures texts against one corpus; keeps nothing of them."""

    def __init__(self, table: GramTable, k: int, *, length: int, bridge: int = 2) -> None:
        """table: the grams of `k` words of the corpus; `length`: words that make a run forbidden, more than k; `bridge`: words that a run may skip."""
        self.k = k
        self.length = length
        self.span = 3 * length
        self.reach = (self.span + 2 * k + 2) * (LONGEST_WORD + WIDEST_GAP)
        """Characters that are held back at most."""
        self._table = table
        self._between = k + bridge - 1
        self._fewest = min(length, RARE)

    def knows(self, probe: int) -> bool:
        """Whether the table holds `probe`, and hardly any of a thousand grams that no text has."""
        return bool(self._table.holds(np.array([probe], np.uint64))[0]) and float(self._table.holds(spread(np.arange(1000, dtype=np.uint64))).mean()) < 0.05

    def grams(self, text: str) -> Hashes:
        """The grams of a supplied text, for `measure` and `clear`."""
        found = words(text)
        return grams(found.hashes, self.k)[whole(len(found), self.k, found.apart)]

    def measure(self, text: str, supplied: Sequence[Hashes] = (), *, start: int = 0) -> Overlap:
        """`supplied`: the grams of each text that may be quoted. `start`: where new text begins; what stands before it is there to be looked back at."""
        found = words(text)
        leaked, quoted = self._leaked(found, supplied, start)
        if not leaked.any():
            return Overlap(words=len(found), covered=0, longest=0, dense=0, runs=())
        counted = _covered(leaked, self.k) & ~_covered(quoted, self.k)
        if start:
            counted[: self.k] = False  # what stood before the window may have been supplied
        total = np.concatenate([[0], np.cumsum(counted)])
        longest = dense = 0
        runs = []
        for starts in self._runs(leaked, quoted, found):
            end = int(starts[-1]) + self.k
            longest = max(longest, int(total[end] - total[starts[0]]))
            within = total[np.minimum(starts + self.span, end)] - total[starts]
            reached = int(within.max())
            if reached >= self._fewest:
                run = self._forbidden(found, starts[within >= self._fewest], end=end, leaked=leaked, counted=counted, length=len(text))
                if run is None:
                    reached = min(reached, self.length - 1)
                else:
                    reached = max(reached, self.length)
                    runs.append(run)
            dense = max(dense, reached)
        return Overlap(words=len(found), covered=int(total[-1]), longest=longest, dense=dense, runs=tuple(runs))

    def clear(self, text: str, supplied: Sequence[Hashes] = (), *, start: int = 0, ended: bool = False) -> int:
        """Up to where no forbidden run can begin, whatever follows `text`: k words before the first run that may go on, or that may begin at the end.

        `ended`: whether a run is wanted to its end; then it is held back from where it begins, however long it is, until all its words are known.
        """
        found = words(text)
        complete = len(found)
        if complete and int(found.places[-1, 1]) == len(text):
            complete -= 1  # the last word may grow
        pending = max(0, complete - self.k + 1)  # the first gram that is not known yet
        leaked, quoted = self._leaked(found, supplied, start)
        leaked, quoted = leaked[:pending], quoted[:pending]
        first = pending
        following = pending
        apart = np.cumsum(found.apart)
        for begin in np.flatnonzero(leaked)[::-1].tolist():
            broken = following < len(found) and apart[following] != apart[begin]
            far = begin + self.span <= (following if ended else pending) or int((~quoted[begin + 1 : following]).sum()) > self._between
            if (broken or far) and not (ended and begin + 2 * self.k > first):
                break
            first = following = begin
        held = first - self.k
        safe = int(found.places[held, 0]) if held >= 0 and len(found) else 0
        return safe if ended else max(safe, len(text) - self.reach)

    def _leaked(self, found: Words, supplied: Sequence[Hashes], start: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For each gram whether it is leaked, and whether it was supplied."""
        keys = grams(found.hashes, self.k)
        unbroken = whole(len(found), self.k, found.apart)
        if start:
            unbroken[:1] = False  # the first word may be cut
        quoted = unbroken & (np.isin(keys, np.concatenate(supplied)) if supplied else np.False_)
        leaked = np.zeros(len(keys), np.bool_)
        asked = np.flatnonzero(unbroken & ~quoted)
        leaked[asked] = self._table.holds(keys[asked])
        return leaked, quoted

    def _runs(self, leaked: NDArray[np.bool_], quoted: NDArray[np.bool_], found: Words) -> list[NDArray[np.intp]]:
        """The leaked grams, run by run."""
        starts = np.flatnonzero(leaked)
        others = np.concatenate([[0], np.cumsum(~quoted)])
        between = others[starts[1:]] - others[starts[:-1] + 1]
        apart = np.cumsum(found.apart)
        # Across a quotation of `span` words nothing adds up any more.
        parted = (between > self._between) | (apart[starts[1:]] != apart[starts[:-1]]) | (np.diff(starts) >= self.span)
        return np.split(starts, np.flatnonzero(parted) + 1)

    def _forbidden(self, found: Words, starts: NDArray[np.intp], *, end: int, leaked: NDArray[np.bool_], counted: NDArray[np.bool_], length: int) -> Run | None:
        """The run that is certain first, among those that begin at `starts`; None where they are common phrases."""
        best: tuple[int, int] | None = None
        for start in starts.tolist():
            content: set[int] = set()
            number = steady = longest = 0
            for word in range(start, min(start + self.span, end)):
                if best is not None and word >= best[0]:
                    break
                begun = word - self.k + 1  # the gram that ends with this word
                steady = steady + 1 if begun >= start and leaked[begun] else 0
                longest = max(longest, steady)
                if counted[word]:
                    number += 1
                    value = int(found.hashes[word])
                    if value not in _FUNCTION:
                        content.add(value)
                enough = number >= self.length and (len(content) >= CONTENT or number >= 2 * self.length)
                if longest >= STEADY and (enough or len(content) >= RARE):
                    best = (word, start)
                    break
        if best is None:
            return None
        last, start = best
        begin = start + int(np.flatnonzero(counted[start : last + 1])[0])
        settled = last + self.k - 1
        # Up to `settled` the words could still turn out to be supplied.
        certain = int(found.places[settled, 1]) if settled < len(found) else length
        return Run(start=int(found.places[begin, 0]), end=certain, last=int(found.places[end - 1, 1]))


def _covered(grams_: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """The words that the marked grams cover, shape (n + k - 1,)."""
    changes = np.zeros(len(grams_) + k, np.int64)
    changes[: len(grams_)] += grams_
    changes[k:] -= grams_
    covered: NDArray[np.bool_] = np.cumsum(changes)[:-1] > 0
    return covered
