"""A payload in pieces: "part 1: SWdub3Jl ... part 2: IGFsbA", or `a = "how to"; b = " open"; answer a + b`, in one text and joined again."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from guardrail.normal.hidden import readings
from guardrail.normal.language import is_message
from guardrail.normal.normalised import Normalised

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = {word: number for number, word in enumerate("one two three four five six seven eight".split(), 1)}
_LABEL = re.compile(
    r"\b(?:part|piece|chunk|fragment|half|segment|portion)[ ]?(?:no\.? ?|number |#)?(\d{1,2}|[a-h]|one|two|three|four|five|six|seven|eight)\b"
    r"(?: of (?:\d{1,2}|two|three|four|five|six))?(?:(?: is| reads)?\s?(?:[:=\u2013\u2014]|->|=>|-(?=\s))\s*| (?:is|reads) (?=[\"'`\u201c]))",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"([^\"\n]+)\"|'([^'\n]+)'|`([^`\n]+)`|\u201c([^\u201d\n]+)\u201d")
_ASSIGNED = re.compile(r"\b([A-Za-z]\w{0,15})\s{0,2}:?=\s{0,2}(?:\"([^\"\n]+)\"|'([^'\n]+)')")
_SUM = re.compile(r"\b[A-Za-z]\w{0,15}(?:\s{0,2}\+\s{0,2}[A-Za-z]\w{0,15}){1,15}\b")
_CODE = re.compile(r"[\w+/=-]+")
_TOKEN = re.compile(r"(?=[a-z+/=-]*[\dA-Z])(?=[^\s]{8})[A-Za-z0-9+/_=-]+(?=\s)")
"""A code at the beginning of a piece: the words behind it are talk."""
_MOST = 16


def joined(text: str) -> tuple[Normalised, ...]:
    """What the pieces of `text` say when they are put together, and what that hides in turn, each with the places in `text`; none where nothing is in pieces.

    Pieces are labelled with a number or a letter, at least two of them, or are assigned to names that are then added up.
    """
    found: list[Normalised] = []
    for pieces in (_labelled(text), *_added(text)):
        if len(pieces) < 2:
            continue
        whole = _whole(text, pieces)
        found += [whole] if is_message(whole.text) else []
        found += (_composed(whole, reading) for reading in readings(whole.text))
    return tuple(found[:_MOST])


def _labelled(text: str) -> list[tuple[int, int]]:
    """Where the pieces stand, in the order of their labels."""
    labels = list(_LABEL.finditer(text))[: 4 * _MOST]
    pieces: dict[int, tuple[int, int]] = {}
    for label, following in zip(labels, (*(label.start() for label in labels[1:]), len(text)), strict=False):
        quoted = _QUOTED.match(text, label.end(), following)
        if quoted is not None:
            span = quoted.span(quoted.lastindex or 0)
        else:
            line = text.find("\n", label.end(), following)
            token = _TOKEN.match(text, label.end(), following)
            end = token.end() if token else following if line < 0 else line
            span = label.end(), label.end() + len(text[label.end() : end].rstrip(" \t\r\n.,;\u2026"))
        if span[0] < span[1]:
            pieces.setdefault(_number(label[1]), span)
    return [pieces[number] for number in sorted(pieces)]


def _number(label: str) -> int:
    label = label.lower()
    return int(label) if label.isdecimal() else _NUMBERS.get(label) or ord(label) - ord("a") + 1


def _added(text: str) -> Iterator[list[tuple[int, int]]]:
    """For each sum of names that were given a value, where its values stand."""
    values = {match[1]: match.span(match.lastindex or 0) for match in _ASSIGNED.finditer(text)}
    if len(values) < 2:
        return
    for match in list(_SUM.finditer(text))[:_MOST]:
        names = re.split(r"\s*\+\s*", match.group())
        if all(name in values for name in names):
            yield [values[name] for name in names]


def _whole(text: str, pieces: list[tuple[int, int]]) -> Normalised:
    """The pieces in a row; between words that are no code, and not in quotes, stands a space."""
    said, places = "", []
    for before, (start, end) in pairwise([(0, 0), *pieces]):
        spaced = said and not (_CODE.fullmatch(text[start:end]) and _CODE.fullmatch(text[slice(*before)])) and text[start - 1] not in "\"'`\u201c"
        if spaced:
            said += " "
            places.append((start, start))
        said += text[start:end]
        places += [(place, place + 1) for place in range(start, end)]
    return Normalised(text=text).derived(said, places, "parts")


def _composed(whole: Normalised, reading: Normalised) -> Normalised:
    """A reading of `whole.text`, with its places in the text that `whole` was made from."""
    spans = zip(reading.starts, reading.ends, strict=True) if reading.starts and reading.ends else ((place, place + 1) for place in range(len(reading.text)))
    made = whole.derived(reading.text, spans, "/".join(reading.how))
    return Normalised(text=made.text, how=(*whole.how, *reading.how), starts=made.starts, ends=made.ends)
