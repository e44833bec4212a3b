"""How far passages support a claim, as figures that a small model weighs."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from guardrail.rails.antonyms import opposites
from guardrail.rails.hard_rules import CLAUSE_END, denied
from guardrail.rails.numbers import numbers
from guardrail.rails.words import coverage, rarity, words
from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from numpy.typing import NDArray

    from guardrail.types import Encoding

FEATURES = (
    "late_all",
    "late_passage",
    "late_window",
    "late_second",
    "low_all",
    "low_window",
    "coverage_all",
    "coverage_passage",
    "coverage_window",
    "rarest_missing",
    "pairs_passage",
    "order",
    "bound",
    "bound_nearby",
    "numbers",
    "numbers_window",
    "names",
    "names_window",
    "negation",
    "opposites",
)
"""What `measure` gives, in order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A passage as the measure reads it. `tokens`: (n, d) token states, row i standing at `places[i]` of `text`.

    `heading` holds what else is known of it, its title and work and whose it is: names in there count as said.
    """

    text: str
    tokens: NDArray[np.float32]
    places: Sequence[tuple[int, int]]
    heading: str = ""
    sentences: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sentences", tuple(spans(self.text)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Support:
    """The figures, (len(FEATURES),), and where the support stands: the source's number and the stretch of its text, None where there is no source."""

    figures: NDArray[np.float32]
    source: int | None
    start: int = 0
    end: int = 0


def measure(claim: Encoding, sources: Sequence[Source]) -> Support:
    """Compare a claim with its sources.

    Late interaction is a mean over the claim's tokens of their best cosine (ColBERT, Khattab & Zaharia 2020, eq. 3), each token weighted by the rarity of its
    word: over all sources, over the best and the second-best source, and over the best window, one or two sentences in a row of the best source. `low_*` is the
    mean of the worst-matched quarter of the tokens. Coverage, pairs, numbers and names are the shares of the claim's words (by rarity), neighbouring words,
    numbers and names that stand there; `rarest_missing` is the rarity of the rarest word that the window lacks. `order` is the share of neighbouring words that
    the window has the other way round; `bound` is, of the words that stand together in a clause of the claim and in the window at all, the share of pairs that
    stand together in a clause there too, `bound_nearby` the same for neighbours. `negation` is 1 where one of both denies what the other says, `opposites` the
    number of words in whose place the window has an opposite.
    """
    said = words(claim.text)
    stems = [word.stem for word in said if word.content]
    present = [number for number, source in enumerate(sources) if len(source.tokens)]
    if not present or not len(claim.tokens):
        return Support(figures=np.zeros(len(FEATURES), np.float32), source=None)
    headings = frozenset[str]().union(*(_stems(source.heading) for source in sources))
    names = frozenset(word.stem for word in said if word.name)
    wanted = frozenset(stems) - (names & headings)
    weights = _weights(claim, headings)
    by_source = np.stack([(claim.tokens @ sources[number].tokens.T).max(axis=1) for number in present])
    held = [_stems(sources[number].text) for number in present]
    scores = by_source @ weights + np.array([coverage(wanted, those) for those in held])
    order = np.argsort(-scores, kind="stable")
    first, second = int(order[0]), int(order[min(1, len(order) - 1)])
    best = sources[present[first]]
    window = _best_window(claim, best, weights, wanted)
    shown = best.text[window.start : window.end]
    there = _stems(shown)
    everywhere = by_source.max(axis=0)
    everything = frozenset[str]().union(*held)
    counted = weights > 0.1 * weights.max()
    values = frozenset(number.value for number in numbers(claim.text))
    figures = (
        everywhere @ weights,
        by_source[first] @ weights,
        window.matches @ weights,
        by_source[second] @ weights if len(present) > 1 else 0.0,
        _low(everywhere[counted]),
        _low(window.matches[counted]),
        coverage(wanted, everything),
        coverage(wanted, held[first]),
        coverage(wanted, there),
        max((rarity(root) for root in wanted - there), default=0.0),
        _share(pairwise(stems), _neighbours(best.text)),
        _turned(stems, shown),
        *_bound(claim.text, shown),
        _share(values, {number.value for source in sources for number in numbers(source.text)}),
        _share(values, {number.value for number in numbers(f"{shown} {best.heading}")}),
        _share(names - headings, everything),
        _share(names - headings, there),
        float(_denial(claim.text, shown)),
        min(2.0, float(sum(bool(opposites(root) & (there - wanted)) for root in wanted - there))),
    )
    return Support(figures=np.array(figures, np.float32), source=present[first], start=window.start, end=window.end)


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """A stretch of a text and, for each token of the claim, its best cosine there."""

    start: int
    end: int
    matches: NDArray[np.float32]


def _best_window(claim: Encoding, source: Source, weights: NDArray[np.float32], stems: frozenset[str]) -> _Window:
    """The one or two sentences in a row that hold most of the claim; one where the second adds little."""
    similarity = claim.tokens @ source.tokens.T
    starts = np.array([start for start, _ in source.places])
    best = _Window(0, len(source.text), similarity.max(axis=1))
    best_score = -1.0
    for first in range(len(source.sentences)):
        for last in (first, first + 1):
            if last >= len(source.sentences):
                continue
            start, end = source.sentences[first][0], source.sentences[last][1]
            columns = np.flatnonzero((starts >= start) & (starts < end))
            if not len(columns):
                continue
            matches = similarity[:, columns].max(axis=1)
            score = float(matches @ weights) + coverage(stems, _stems(source.text[start:end])) - 0.05 * (last - first)
            if score > best_score:
                best, best_score = _Window(start, end, matches), score
    return best


def _weights(claim: Encoding, headings: frozenset[str]) -> NDArray[np.float32]:
    """Rarity of the word that each token of the claim belongs to, scaled to the sum 1; next to nothing for a name that stands in a heading."""
    said = words(claim.text)
    found, number = [], 0
    for start, _ in claim.spans:
        while number < len(said) - 1 and said[number].end <= start:
            number += 1
        known = bool(said) and said[number].name and said[number].stem in headings
        found.append(0.01 if known or not said else 0.2 + rarity(said[number].stem))
    weights = np.array(found, np.float32)
    scaled: NDArray[np.float32] = weights / weights.sum()
    return scaled


def _low(matches: NDArray[np.float32]) -> float:
    """Mean of the worst quarter."""
    return float(np.sort(matches)[: max(1, len(matches) // 4)].mean())


def _share(wanted: Iterable[object], held: Container[object]) -> float:
    """Share of `wanted` that is held; 1 where nothing is wanted."""
    found = [one in held for one in wanted]
    return sum(found) / len(found) if found else 1.0


def _turned(stems: Sequence[str], text: str) -> float:
    """Of the claim's words that the text has exactly once: the share of neighbours that stand the other way round there."""
    theirs = [word.stem for word in words(text) if word.content]
    places = {root: place for place, root in enumerate(theirs) if theirs.count(root) == 1}
    shared = [places[root] for root in stems if root in places]
    return sum(one > other for one, other in pairwise(shared)) / (len(shared) - 1) if len(shared) > 1 else 0.0


def _bound(claim: str, text: str) -> tuple[float, float]:
    """How far words that the claim has in one clause stand in one clause of the text: of all pairs, and of neighbours; 1 where there are none."""
    theirs = [frozenset(clause) for clause in _clauses(text)]
    there = frozenset[str]().union(*theirs)
    found, near = [], []
    for clause in _clauses(claim):
        said = [root for root in clause if root in there]
        for place, one in enumerate(said):
            for other in said[place + 1 :]:
                if one != other:
                    together = any(one in clause and other in clause for clause in theirs)
                    found.append(together)
                    if other == said[place + 1]:
                        near.append(together)
    return tuple(sum(pairs) / len(pairs) if pairs else 1.0 for pairs in (found, near))  # type: ignore[return-value]  # one for each of the two


def _clauses(text: str) -> list[list[str]]:
    """The stems of the content words of each clause."""
    ends = [match.start() for match in CLAUSE_END.finditer(text)]
    found: list[list[str]] = [[]]
    for word in words(text):
        while ends and word.start >= ends[0]:
            ends.pop(0)
            found.append([])
        if word.content:
            found[-1].append(word.stem)
    return found


def _denial(claim: str, text: str) -> bool:
    """Whether one of both denies a word that the other affirms."""
    said, theirs = words(claim), words(text)
    shared = {word.stem for word in said if word.content} & {word.stem for word in theirs if word.content}
    return bool(denied(claim, said) & shared) != bool(denied(text, theirs) & shared)


def _stems(text: str) -> frozenset[str]:
    return frozenset(word.stem for word in words(text))


def _neighbours(text: str) -> frozenset[tuple[str, str]]:
    """Pairs of content words with at most one other between them."""
    stems = [word.stem for word in words(text) if word.content]
    return frozenset((*pairwise(stems), *zip(stems, stems[2:], strict=False)))
