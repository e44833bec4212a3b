"""What no score can excuse: a number, a date, a proper name or a quoted phrase that no passage holds, and a negation turned round."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from guardrail.rails.numbers import locators, numbers
from guardrail.rails.words import coverage, is_roman, same_name, words
from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardrail.rails.words import Word
    from guardrail.types import Passage

Rule = Literal["number", "name", "quotation", "negation"]

_QUOTED = re.compile(r"\"([^\"]{3,400})\"|“([^”]{3,400})”|«([^»]{3,400})»|(?<!\w)['‘]([^'‘’]{8,400})['’](?!\w)")
_RUN = re.compile(r"[^\W_]+")
_SHORTEST_QUOTATION = 3
_SCOPE = 6
"""Content words that a negator reaches, within its clause."""
_SAME_STATEMENT = 0.75
"""Share of a claim's words, by rarity, that a sentence must hold before its negation is compared."""
CLAUSE_END = re.compile(r"[.,;:()—–]|\b(?:but|yet|while|whereas|although|though|because|since|if|when|unless|who|which|whom)\b")
_NOT_A_DENIAL = re.compile(r"\b(?:not|n['’]t)\s+(?:only|merely|just|simply|so much)\b|\bno\s+(?:doubt|longer|less|sooner)\b", re.IGNORECASE)
_ERA = re.compile(r"\s*(?:(BCE?|B\.C\.(?:E\.)?)|(AD|CE|A\.D\.|C\.E\.))(?!\w)")
_ERA_WORDS = frozenset("bc bce ad ce b c a d e".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule that the claim breaks, and where in the claim."""

    rule: Rule
    start: int
    end: int


@dataclass(frozen=True)
class Shelf:
    """Everything the passages hold, ready to be looked up. Titles, works and locators count as held."""

    passages: tuple[Passage, ...]
    persona: str = ""

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(word.stem for text in self._texts for word in words(text))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every capitalised word of the passages, once."""
        found = {word.text for text in self._texts for word in words(text) if word.text[0].isupper()}
        return (*sorted(found), *self.persona.replace("-", " ").split())

    @cached_property
    def headings(self) -> tuple[str, ...]:
        """Every word of the works' names and locators, once."""
        return tuple(sorted({word.text for passage in self.passages for word in words(f"{passage.work} {passage.locator}") if word.content}))

    @cached_property
    def numbers(self) -> frozenset[tuple[float, str]]:
        """Values with their era: `bc`, `ad`, or nothing."""
        return frozenset(pair for text in self._texts for pair in _dated(text))

    @cached_property
    def counts(self) -> tuple[tuple[float, frozenset[str]], ...]:
        """Values with what they count."""
        return tuple((number.value, _counted(text, number.end)) for text in self._texts for number in numbers(text))

    @cached_property
    def sums(self) -> tuple[tuple[frozenset[float], frozenset[str]], ...]:
        """The numbers and the stems of each sentence that holds a number."""
        found = []
        for text in self._texts:
            for start, end in spans(text):
                values = frozenset(number.value for number in numbers(text[start:end]))
                if values:
                    found.append((values, frozenset(word.stem for word in words(text[start:end]))))
        return tuple(found)

    @cached_property
    def romans(self) -> frozenset[str]:
        return frozenset(word.text for text in self._texts for word in words(text) if is_roman(word.text))

    @cached_property
    def pages(self) -> tuple[tuple[int, int], ...]:
        """From which page to which each stretch of a locator runs."""
        ranges = []
        for passage in self.passages:
            for stretch in re.split(r"[;,]", passage.locator):
                pages = [page for page, _, _ in locators(stretch)]
                if pages:
                    ranges.append((min(pages), max(pages)))
        return tuple(ranges)

    @cached_property
    def running(self) -> tuple[str, ...]:
        """The words of each passage in a row, for quotations."""
        return tuple(_run(passage.text) for passage in self.passages)

    @cached_property
    def sentences(self) -> tuple[tuple[Word, ...], ...]:
        """The words of each sentence of each passage."""
        return tuple(words(passage.text[start:end]) for passage in self.passages for start, end in spans(passage.text))

    @property
    def _texts(self) -> Iterator[str]:
        for passage in self.passages:
            yield from (passage.text, passage.title, passage.work, passage.locator)


def violations(claim: str, shelf: Shelf) -> tuple[Violation, ...]:
    """Every hard rule that `claim` breaks against the passages on the shelf, in the order of the text."""
    broken = [*_numbers(claim, shelf), *_names(claim, shelf), *_quotations(claim, shelf), *_negations(claim, shelf)]
    return tuple(sorted(broken, key=lambda violation: (violation.start, violation.rule)))


def missing_names(text: str, shelf: Shelf) -> tuple[str, ...]:
    """The proper names in `text` that the passages do not hold and the persona does not bear."""
    return tuple(text[violation.start : violation.end] for violation in _names(text, shelf))


def missing_numbers(text: str, shelf: Shelf) -> bool:
    """Whether `text` holds a number that the passages do not."""
    return any(True for _ in _numbers(text, shelf))


def _numbers(claim: str, shelf: Shelf) -> Iterator[Violation]:
    pages = {(start, end): page for page, start, end in locators(claim)}
    for (start, end), page in pages.items():
        if not any(first <= page <= last for first, last in shelf.pages) and page not in {value for value, _ in shelf.numbers}:
            yield Violation(rule="number", start=start, end=end)
    values = {value for value, _ in shelf.numbers}
    for number in numbers(claim):
        era = _era(claim, number.end)
        held = number.value in values if not era else (number.value, era) in shelf.numbers or (number.value, "") in shelf.numbers
        if not held or _counts_otherwise(number.value, _counted(claim, number.end), shelf):
            yield Violation(rule="number", start=number.start, end=number.end)
    for word in words(claim):
        if len(word.text) > 1 and is_roman(word.text) and word.text not in shelf.romans:
            yield Violation(rule="number", start=word.start, end=word.end)


def _counts_otherwise(value: float, things: frozenset[str], shelf: Shelf) -> bool:
    """Whether the passages give a number of these things, and no sentence of them holds this one with the things: five causes, where they speak of four."""
    if not any(counted & things for _, counted in shelf.counts):
        return False
    return not any(value in values and things & stems for values, stems in shelf.sums)


def _counted(text: str, end: int) -> frozenset[str]:
    """Stems of the two words after a number that ends at `end`: what it counts."""
    clause = CLAUSE_END.search(text, end)
    stop = min(clause.start() if clause else len(text), end + 60)
    found = [word.stem for word in words(text) if end <= word.start and word.end <= stop and word.content and word.text.isalpha() and not numbers(word.text)]
    return frozenset(found[:2])


def _names(claim: str, shelf: Shelf) -> Iterator[Violation]:
    for word in words(claim):
        if not word.name or is_roman(word.text) or word.text.lower() in _ERA_WORDS or word.text[0].isdigit():
            continue
        # A capital for style, as in "the Good", is no name: the word itself is enough.
        if word.stem in shelf.stems or any(same_name(word.text, name) for name in shelf.names):
            continue
        yield Violation(rule="name", start=word.start, end=word.end)


def _quotations(claim: str, shelf: Shelf) -> Iterator[Violation]:
    for match in _QUOTED.finditer(claim):
        phrase = next(group for group in match.groups() if group is not None)
        run = _run(phrase)
        if run.count(" ") - 1 >= _SHORTEST_QUOTATION and not any(run in passage for passage in shelf.running):
            yield Violation(rule="quotation", start=match.start(), end=match.end())


def _negations(claim: str, shelf: Shelf) -> Iterator[Violation]:
    """Compare the claim with each sentence that says the same; it is turned round if it disagrees with one and agrees with none."""
    said = words(claim)
    stems = frozenset(word.stem for word in said if word.content)
    if not stems:
        return
    ours_denied = denied(claim, said)
    disagrees = False
    for sentence, text in zip(shelf.sentences, _sentence_texts(shelf), strict=True):
        held = {word.stem for word in sentence if word.content}
        if coverage(stems, held) < _SAME_STATEMENT:
            continue
        shared = stems & held
        theirs = denied(text, sentence) & shared
        ours = ours_denied & shared
        if bool(ours) == bool(theirs):
            return
        disagrees = True
    if disagrees:
        yield Violation(rule="negation", start=0, end=len(claim))


def _sentence_texts(shelf: Shelf) -> Iterator[str]:
    for passage in shelf.passages:
        for start, end in spans(passage.text):
            yield passage.text[start:end]


def denied(text: str, found: Sequence[Word]) -> frozenset[str]:
    """Stems of the content words that a negator of the same clause stands before."""
    spared = [(match.start(), match.end()) for match in _NOT_A_DENIAL.finditer(text)]
    reached: set[str] = set()
    for position, word in enumerate(found):
        if not word.negator or any(start <= word.start < end or start < word.end <= end for start, end in spared):
            continue
        left = _SCOPE
        for following in found[position + 1 :]:
            if left == 0 or CLAUSE_END.search(text, word.end, following.start):
                break
            if following.content:
                reached.add(following.stem)
                left -= 1
    return frozenset(reached)


def _dated(text: str) -> Iterator[tuple[float, str]]:
    for number in numbers(text):
        yield number.value, _era(text, number.end)
    for page, _, _ in locators(text):
        yield float(page), ""


def _era(text: str, end: int) -> str:
    match = _ERA.match(text, end)
    return "" if match is None else "bc" if match.group(1) else "ad"


def _run(text: str) -> str:
    return f" {' '.join(_RUN.findall(text.lower()))} "
