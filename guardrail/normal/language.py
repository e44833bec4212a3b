"""Whether a text is English or only letters: by the words it is made of."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("words.txt")
WORD = re.compile(r"[^\W\d_]+(?:['’][a-z]{1,2}(?![^\W\d_]))?")
_STRAY = 5
"""What a letter outside of any word costs where run-together words are cut."""
_LONGEST = 20
"""Letters of the longest word that run-together words are cut into."""
_SHORT = frozenset(
    """
    a an am as at be by do he i if in is it me my no of on or so to up us we act aid all and any are ask bad bag ban bed big bit bot box boy but buy bye can car
    cat cut dad day did die dog dry due eat egg end eye far few fix fly for fun gas get god got gun guy had has hat her hey him his hit hot how ice ill its jew
    job joy key kid law lay let lie lot low mad man map may men mix mom new nor not now odd off oil old one our out own pay pet put ran raw red rid row run sad
    saw say sea see set sex she sir sit six sky son spy sun tax tea tell ten the tie too top toy try two use van via war was way web wet who why win yes yet you
    """.split()
)
"""Words of up to three letters that run-together words may be cut into."""
_MOST = 4000
"""Letters that are cut into words at once."""
_SHARE = 0.7
_STRONG_SHARE = 0.6


@cache
def words() -> frozenset[str]:
    """The words that count as English, in lower case; one and two letters only where they are common."""
    return frozenset(_FILE.read_text(encoding="utf-8").split())


def is_known(word: str) -> bool:
    """Whether `word` is English, whatever its case; a possessive or a contraction counts by its first part."""
    lower = word.lower()
    return lower in words() or ("'" in lower and lower.partition("'")[0] in words()) or ("’" in lower and lower.partition("’")[0] in words())


def known_letters(text: str) -> tuple[int, int, int]:
    """Letters in English words, letters in all words, and how many English words of three letters or more there are."""
    known = total = count = 0
    for match in WORD.finditer(text):
        word = match.group()
        total += len(word)
        if is_known(word):
            known += len(word)
            count += len(word) >= 3
    return known, total, count


def is_language(text: str) -> bool:
    """Whether `text` is English prose: at least 70 % of its letters are in English words, two of them of three letters or more."""
    known, total, count = known_letters(text)
    return count >= 2 and known >= _SHARE * total


def is_message(text: str) -> bool:
    """Whether `text`, which came out of a code that noise hardly ever fits, is meant to be read: English words, or at least words with spaces in any script."""
    letters = sum(character.isalpha() for character in text)
    if letters < 3 or letters < 0.5 * len(text):
        return False
    known, total, count = known_letters(text)
    if count >= 1 and known >= _STRONG_SHARE * total:
        return True
    return len(text) >= 12 and " " in text.strip() and letters >= 0.75 * len(text) and text.isprintable()


def _segments(letters: str) -> tuple[list[int], int]:
    """Where the words of `letters` end, with as few words as can be, and how many letters are in words of three letters or more that are English."""
    known = words()
    best = [(0, 0, 0)] + [(len(letters) * _STRAY * 2, 0, 0)] * len(letters)  # cost, where the last word begins, letters in English words
    for end in range(1, len(letters) + 1):
        before = best[end - 1]
        best[end] = (before[0] + _STRAY, end - 1, before[2])
        for start in range(max(0, end - _LONGEST), end):
            word = letters[start:end]
            if not (word in _SHORT if len(word) < 4 else word in known):
                continue
            # Fewer and longer words are likelier: every word costs one, a short one more.
            before = best[start]
            cost = before[0] + (3 if len(word) < 3 else 2 if len(word) == 3 else 1)
            if cost < best[end][0]:
                best[end] = (cost, start, before[2] + (len(word) if len(word) >= 3 else 0))
    ends, end = [], len(letters)
    while end:
        ends.append(end)
        end = best[end][1]
    return ends[::-1], best[-1][2]


def segment(letters: str, *, strict: bool = True) -> tuple[int, ...] | None:
    """Where the words that `letters` runs together end, e.g. (6, 9) for `ignoreall`; None where they are not English, or mostly of one or two letters.

    Unless `strict`, a name or a slip of the pen in between is a word too.
    """
    if not 4 <= len(letters) <= _MOST or not letters.isascii() or not letters.isalpha():
        return None
    ends, readable = _segments(letters.lower())
    if readable < 0.7 * len(letters):
        return None
    joined: list[int] = []
    known = words()
    start, previous_stray = 0, False
    for end in ends:
        word = letters[start:end].lower()
        stray = not (word in _SHORT if len(word) < 4 else word in known)
        if stray and strict:
            return None
        if stray and joined and previous_stray:
            joined[-1] = end
        else:
            joined.append(end)
        start, previous_stray = end, stray
    return tuple(joined)
