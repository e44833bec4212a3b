"""How far passages support a claim, as a handful of figures that a logistic regression weighs."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from guardrail.rails.numbers import numbers
from guardrail.rails.words import coverage, rarity, words
from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail.types import Encoding

FEATURES = ("late_all", "late_window", "low_all", "coverage_all", "coverage_window", "pairs_passage", "numbers")
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
    word: over all sources, and over the best two sentences in a row of the best source. `low_all` is the mean of the worst-matched quarter of the tokens.
    Coverage, pairs and numbers are the shares of the claim's words (by rarity), neighbouring words and numbers that stand in the source.
    """
    stems = [word.stem for word in words(claim.text) if word.content]
    wanted = frozenset(stems)
    present = [number for number, source in enumerate(sources) if len(source.tokens)]
    if not present or not len(claim.tokens):
        return Support(figures=np.zeros(len(FEATURES), np.float32), source=None)
    headings = frozenset[str]().union(*(_stems(source.heading) for source in sources))
    wanted -= {word.stem for word in words(claim.text) if word.name} & headings
    weights = _weights(claim, headings)
    by_source = np.stack([(claim.tokens @ sources[number].tokens.T).max(axis=1) for number in present])
    shares = [coverage(wanted, _stems(sources[number].text)) for number in present]
    best = present[int(np.argmax(by_source @ weights + np.array(shares)))]
    window = _best_window(claim, sources[best], weights, wanted)
    everywhere = by_source.max(axis=0)
    near = _neighbours(sources[best].text)
    pairs = list(pairwise(stems))
    values = [number.value for number in numbers(claim.text)]
    known = {number.value for source in sources for number in numbers(source.text)}
    figures = (
        everywhere @ weights,
        window.late,
        _low(everywhere[weights > 0.1 * weights.max()]),
        coverage(wanted, frozenset[str]().union(*(_stems(sources[number].text) for number in present))),
        window.coverage,
        sum(pair in near for pair in pairs) / len(pairs) if pairs else 1.0,
        sum(value in known for value in values) / len(values) if values else 1.0,
    )
    return Support(figures=np.array(figures, np.float32), source=best, start=window.start, end=window.end)


@dataclass(frozen=True, slots=True)
class _Window:
    start: int
    end: int
    late: float
    coverage: float


def _best_window(claim: Encoding, source: Source, weights: NDArray[np.float32], stems: frozenset[str]) -> _Window:
    """The one or two sentences in a row that hold most of the claim; one where the second adds little."""
    similarity = claim.tokens @ source.tokens.T
    starts = np.array([start for start, _ in source.places])
    best = _Window(0, len(source.text), 0.0, 0.0)
    best_score = -1.0
    for first in range(len(source.sentences)):
        for last in (first, first + 1):
            if last >= len(source.sentences):
                continue
            start, end = source.sentences[first][0], source.sentences[last][1]
            columns = np.flatnonzero((starts >= start) & (starts < end))
            if not len(columns):
                continue
            late, share = float(similarity[:, columns].max(axis=1) @ weights), coverage(stems, _stems(source.text[start:end]))
            score = late + share - 0.05 * (last - first)
            if score > best_score:
                best, best_score = _Window(start, end, late, share), score
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


def _stems(text: str) -> frozenset[str]:
    return frozenset(word.stem for word in words(text))


def _neighbours(text: str) -> frozenset[tuple[str, str]]:
    """Pairs of content words with at most one other between them."""
    stems = [word.stem for word in words(text) if word.content]
    return frozenset((*pairwise(stems), *zip(stems, stems[2:], strict=False)))
