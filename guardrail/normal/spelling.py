"""Words in a disguise that a reader sees through: digits for letters (l33t), letters spaced out, words run together. Only what becomes English words counts."""

from __future__ import annotations

import itertools
import re
from operator import itemgetter
from typing import TYPE_CHECKING

from guardrail.normal.language import segment, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guardrail.normal.normalised import Normalised

_LEET = re.compile(r"(?<![\w@$])[A-Za-z0-9@$|!+€£]{1,24}(?![\w@$])")
_MIXED = re.compile(r"[0-9@$|!+€£][A-Za-z]|[A-Za-z][0-9@$|+€£]")
_NUMBERED = re.compile(r"\d+[A-Za-z]?|[A-Z]+\d+|\d*(?:1st|2nd|3rd)|\d+(?:th|am|pm)")
"""What is no disguise: 1984, 514a, GPT4, 3rd."""
_LETTERS = {
    "0": "o",
    "1": "il",
    "3": "e",
    "4": "a",
    "5": "s",
    "7": "t",
    "8": "b",
    "9": "g",
    "2": "z",
    "6": "g",
    "@": "a",
    "$": "s",
    "!": "i",
    "|": "il",
    "+": "t",
    "€": "e",
    "£": "l",
}
_LEAST_SURE = 2
"""Words of four letters or more that show that a whole message is written so."""
_MOST_SPELLINGS = 8
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:[ \t.\-_*·•|/~+,]{1,3}[^\W_](?![^\W_])){4,}")
_GAP = re.compile(r"[^\w]+|_+")
_RUN = re.compile(r"(?<![A-Za-z])[A-Za-z]{18,200}(?![A-Za-z])")
_HUMP = re.compile("[A-Z]+[a-z]*|[a-z]+")
_LEAST_HUMPS = 4
"""Capitals of fewer words, as in CamelCase, are a name in a program."""
_LEAST_LETTERS = 5
_LEAST_WORDS = 3
_SHARE = 0.6
"""Letters of spaced-out words that have to be English; the others may be names."""


def respelled(given: Normalised) -> Iterator[Normalised]:
    """The whole text with its disguised words as they are meant, for each disguise that it holds."""
    for how, changes in (("leetspeak", _leet(given.text)), ("spaced letters", _spaced(given.text)), ("run together", _run_together(given.text))):
        if changes:
            yield _respelled(given, changes, how)


def _respelled(given: Normalised, changes: Iterable[tuple[str, list[tuple[int, int]]]], how: str) -> Normalised:
    """`given` with stretches replaced: each new text with the place of every character of it."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for new, places in changes:
        start = places[0][0]
        pieces += (given.text[position:start], new)
        spans.extend((place, place + 1) for place in range(position, start))
        spans.extend(places)
        position = places[-1][1]
    pieces.append(given.text[position:])
    spans.extend((place, place + 1) for place in range(position, len(given.text)))
    return given.derived("".join(pieces), spans, how)


def _leet(text: str) -> list[tuple[str, list[tuple[int, int]]]]:
    if not _MIXED.search(text):
        return []
    found: list[tuple[str, int]] = []
    short: list[tuple[str, int]] = []
    sure = 0
    for match in _LEET.finditer(text):
        token = match.group()
        if token.isalpha():
            continue
        if len(token) <= 2:
            meant = _meant(token)
            if meant is not None:
                short.append((meant, match.start()))
            continue
        if token.isdigit() or _NUMBERED.fullmatch(token):
            continue
        bare = token.rstrip("!|+$€£")
        meant = _meant(token) if not token.endswith("!") else None
        if meant is None and len(bare) >= 2 and not bare.isalpha() and not bare.isdigit():
            token, meant = bare, _meant(bare)  # the sign at the end is punctuation or a price
        if meant is not None:
            sure += len(meant) >= 4 and 3 * sum(character.isalpha() for character in token) >= len(token)
            found.append((meant, match.start()))
    if not sure:
        return []
    # Among several such words a 70 is a "to" and a 1 an "I".
    changes = sorted(found + short, key=itemgetter(1)) if sure >= _LEAST_SURE else found
    return [(meant, [(start + place, start + place + 1) for place in range(len(meant))]) for meant, start in changes]


def _meant(token: str) -> str | None:
    """The English word that a token spells with digits and signs for letters."""
    choices = [_LETTERS.get(character, character) for character in token]
    if not all(choice.isalpha() for choice in choices):
        return None
    for letters in itertools.islice(itertools.product(*choices), _MOST_SPELLINGS):
        word = "".join(letters)
        if word.lower() in words():
            return word
    return None


def _spaced(text: str) -> list[tuple[str, list[tuple[int, int]]]]:
    changes = []
    for match in _SPACED.finditer(text):
        gaps = [gap.group() for gap in _GAP.finditer(match.group())]
        usual = min(map(len, gaps))
        signs = any(not gap.isspace() for gap in gaps)
        chunks: list[list[int]] = [[match.start()]]
        for gap in _GAP.finditer(match.group()):
            if len(gap.group()) > usual or (signs and gap.group().isspace()):  # the border of a word
                chunks.append([])
            chunks[-1].append(match.start() + gap.end())
        new = ""
        places: list[tuple[int, int]] = []
        readable = 0
        for chunk in chunks:
            letters = "".join(text[place] for place in chunk)
            letters = letters if letters.isalpha() else (_meant(letters) or letters)
            ends = (len(letters),) if letters.lower() in words() else segment(letters, strict=False)
            readable += 0 if ends is None else len(letters)
            for start, end in itertools.pairwise((0, *(ends or (len(letters),)))):
                if new:
                    new += " "
                    places.append((places[-1][1], chunk[start]))
                new += letters[start:end]
                places += [(place, place + 1) for place in chunk[start:end]]
        if readable >= max(_LEAST_LETTERS, _SHARE * len(new.replace(" ", ""))):
            changes.append((new, places))
    return changes


def _run_together(text: str) -> list[tuple[str, list[tuple[int, int]]]]:
    changes = []
    for match in _RUN.finditer(text):
        letters = match.group()
        humps = _HUMP.findall(letters)
        if letters.lower() in words() or 1 < len(humps) < _LEAST_HUMPS:
            continue
        ends = segment(letters)
        if ends is None or len(ends) < _LEAST_WORDS:
            continue
        new, places = "", []
        for start, end in itertools.pairwise((0, *ends)):
            if new:
                new += " "
                places.append((match.start() + start, match.start() + start))
            new += letters[start:end]
            places += [(match.start() + place, match.start() + place + 1) for place in range(start, end)]
        changes.append((new, places))
    return changes
