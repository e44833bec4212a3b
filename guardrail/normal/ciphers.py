"""Stretches of a text whose letters were exchanged (Caesar, rot13, Atbash) or put in reverse, found by the words that come out."""

from __future__ import annotations

import re
from string import ascii_lowercase as abc
from string import ascii_uppercase as capitals
from typing import TYPE_CHECKING

from guardrail.normal.language import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardrail.normal.normalised import Normalised

_WORD = re.compile(r"[A-Za-z]+")
_LEAST_WORDS = 3
_SHARE = 0.7


def _exchange(letters: str) -> Callable[[str], str]:
    table = str.maketrans(abc + capitals, letters + letters.upper())
    return lambda word: word.translate(table)


_CIPHERS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("rot13", _exchange(abc[13:] + abc[:13])),
    ("atbash", _exchange(abc[::-1])),
    ("reversed", lambda word: word[::-1]),
    *((f"caesar {shift}", _exchange(abc[-shift:] + abc[:-shift])) for shift in range(1, 26) if shift != 13),
)


def deciphered(given: Normalised) -> Iterator[Normalised]:
    """For each cipher the stretches of `given` that it turns into English: at least three words that are none as they stand."""
    text = given.text
    found = [(match.start(), match.end(), match.group()) for match in _WORD.finditer(text)]
    known = words()
    plain = [word.lower() in known for _, _, word in found]
    for first, last in _strange(found, plain):
        for how, decipher in _CIPHERS:
            stretch = _stretch(found[first:last], plain[first:last], decipher, least=_LEAST_WORDS + how.startswith("caesar"))
            if stretch is not None:
                yield from _turned(given.part(*stretch), how, decipher)


def _turned(part: Normalised, how: str, decipher: Callable[[str], str]) -> Iterator[Normalised]:
    size = len(part.text)
    if how != "reversed":
        yield part.derived(decipher(part.text), [(place, place + 1) for place in range(size)], how)
        return
    yield part.derived(part.text[::-1], [(place, place + 1) for place in reversed(range(size))], how)
    places = list(range(size))
    for match in _WORD.finditer(part.text):
        places[match.start() : match.end()] = reversed(range(match.start(), match.end()))
    yield part.derived("".join(part.text[place] for place in places), [(place, place + 1) for place in places], "reversed words")


def _strange(found: list[tuple[int, int, str]], plain: list[bool]) -> Iterator[tuple[int, int]]:
    """The runs of words in which letters of words that are not English prevail from the beginning on, as far as they may hold enough of them."""
    total = first = strange = 0
    for number, (_, _, word) in enumerate(found):
        if total <= 0:
            if strange >= _LEAST_WORDS:
                yield first, number
            total, first, strange = 0, number, 0
        total += -len(word) if plain[number] else len(word)
        strange += not plain[number] and len(word) >= 3
    if strange >= _LEAST_WORDS:
        yield first, len(found)


def _stretch(found: list[tuple[int, int, str]], plain: list[bool], decipher: Callable[[str], str], *, least: int) -> tuple[int, int] | None:
    """The run of words that gains most by `decipher` (Kadane's maximum subarray over letters of words won and lost); None where it gains too little."""
    known = words()
    best, total, first = 0, 0, 0
    run: tuple[int, int] | None = None
    secret = [decipher(word).lower() in known for _, _, word in found]
    for number, (_, _, word) in enumerate(found):
        size = len(word)
        gain = size if secret[number] and not plain[number] else -size if plain[number] and not secret[number] else 0 if secret[number] else -size // 2
        if total <= 0:
            total, first = 0, number
        total += gain
        if total > best:
            best, run = total, (first, number + 1)
    if run is None:
        return None
    inside = range(*run)
    won = {found[number][2].lower() for number in inside if secret[number] and not plain[number] and len(found[number][2]) >= 3}
    readable = sum(len(found[number][2]) for number in inside if secret[number])
    if len(won) < least or sum(map(len, won)) < 4 * least or readable < _SHARE * sum(len(found[number][2]) for number in inside):
        return None
    first, last = run
    while first > 0 and not plain[first - 1]:  # a name beside the words is hidden with them
        first -= 1
    while last < len(found) and not plain[last]:
        last += 1
    return found[first][0], found[last - 1][1]
