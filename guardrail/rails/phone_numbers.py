"""Telephone numbers, judged by Google's libphonenumber where a shape alone does not tell."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import phonenumbers
from stdnum import isbn

from guardrail.rails.cues import cued
from guardrail.rails.phone_places import ends_field, labelled, place_of
from guardrail.types import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.rails.phone_places import Place

LONGEST = 64
"""Characters of the longest number that is looked at, extension included."""
_GAP = r"[ \u00a0\t().\-/]{0,3}"
_HEAD = re.compile(rf"(?<![\w/+])(?<!\d[.,#-])(?=[+(]{{0,2}}(?:\d{_GAP}){{6}}\d)")
_GROUPS = r"[+(]{0,2}\d{1,15}(?:[ \u00a0\t().\-/]{1,3}\d{1,15}){0,6}"
_DIGITS = re.compile(rf"{_GROUPS}(?!\w)")
_EXTENSION = re.compile(r"[ ,]{0,2}(?:x|ext(?:ension)?)[.:]?[ ]?\d{1,6}(?!\w)", re.IGNORECASE)
_BEFORE_EXTENSION = re.compile(rf"{_GROUPS}(?={_EXTENSION.pattern})", re.IGNORECASE)
_GOES_ON = re.compile(r"[ \u00a0.\-/]?[\d(]|-[A-Za-z](?![A-Za-z])|[ \u00a0][A-Z]")
"""What follows where this was part of something else: further digits, or the name of a street."""
_NORTH_AMERICAN = re.compile(r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}")
_BARE = re.compile(r"[2-9]\d{2}[2-9]\d{6}|0\d{8,10}|1[3-9]\d{9}")
"""Digits in one piece as they are dialled in North America, behind a trunk prefix, or on a Chinese mobile."""
_BARE_TRUNK = re.compile(r"0[1-9]\d{8,9}")
_NO_AMOUNT = re.compile(r"\(\d{2,3}\) ?\d{3,4}[ -]\d{3,4}|\d{2}(?:-\d{2}){3}|\d{2,4}-\d{2,4}(?:-\d{2,4}){1,3}|\d{2,5} \d{2,6}(?: \d{2,4}){0,3}")
"""Groups that no amount has, nor two pages."""
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[ \u00a0.]\d{3})+")
_PAIRS = re.compile(r"\d{2}(?: \d{2})+")
_DATE = re.compile(
    r"\d{1,5}/(?:1\d|20)\d{2}|\d{1,2} \d{1,2} (?:1\d|20)\d{2}|\d{4}([./-])\d{1,2}\1\d{1,2}.*|\d{1,2}([./-])\d{1,2}\2\d{4}.*"
    r"|(?:1[0-9]|20)\d{2} ?[-/] ?(?:1[0-9]|20)\d{2}"
)
_IPV4 = re.compile(r"(?:(?:\d{1,2}|1\d\d|2[0-5]\d)\.){3}(?:\d{1,2}|1\d\d|2[0-5]\d)")
_NO_NUMBER = re.compile(r"(?:1\d|20)\d{2}[^\d(].*|0[.,]\d.*|.* [-/] .*|.*\.\d+ .*|\d{3}-\d{2}-\d{4}", re.DOTALL)
"""A year or a fraction at the beginning; a difference or a ratio; several fractions; the shape of a US social security number."""
_NUMBER_BEFORE = re.compile(rf"(?:[2-79]|8(?! \d{{3}} \d{{3}} \d{{4}}\Z)|(?!00|01)\d{{2,9}}) (?=(?:{_NORTH_AMERICAN.pattern})\Z)")
"""Another number before one in the North American grouping, e.g. a postal code."""
_POSTAL_CODE = re.compile(rf"[1-9]\d{{4}} (?=(?:\(?\d{_GAP}){{6}}\d)|\d{{5}} \d{{1,4}}\Z")
"""One before any other number, or before the number of a house."""
_STATE = re.compile(r"\b[A-Z]{2},? \Z")
_ZIP_CODE = re.compile(rf"\d{{5}}-\d{{4}}(?!\d)|\d{{5}} (?=[+(]{{0,2}}(?:\d{_GAP}){{6}}\d)")
"""A US postal code behind its state: the long form, or the short one with a number behind it."""


def phone_numbers(text: str, start: int = 0, *, regions: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Telephone numbers, extension included.

    Counted are numbers with an international prefix that are possible in their country; numbers in the North American grouping; numbers that are valid in one
    of `regions` (ISO 3166 codes), where they begin with its trunk prefix, stand alone in a line or field, or have groups that no amount has; and, beside a
    word such as "phone" or "office", whatever has 7 to 15 digits and is no date.
    """
    for head in _HEAD.finditer(text, start):
        begin = head.start()
        limit = begin + LONGEST
        match = _BEFORE_EXTENSION.match(text, begin, limit) or _DIGITS.match(text, begin, limit)
        if match is None or (_ZIP_CODE.match(text, begin) and cued(text, begin, _STATE)):
            continue
        place = place_of(text, begin, match.group())
        if place is None or _NUMBER_BEFORE.match(match.group()) or (not place.announced and _POSTAL_CODE.match(match.group())):
            continue
        if not place.announced and labelled(text, _behind_extension(text, match.end(), limit), limit):
            place = replace(place, announced=True)
        end = _end(text, begin, match.end(), regions, place)
        if end is not None:
            score = 1.0 if place.announced or text[begin] == "+" else 0.8
            yield Finding(type="phone", start=begin, end=_behind_extension(text, end, limit), score=score)


def _behind_extension(text: str, end: int, limit: int) -> int:
    extension = _EXTENSION.match(text, end, limit)
    return extension.end() if extension else end


def _end(text: str, begin: int, longest: int, regions: tuple[str, ...], place: Place) -> int | None:
    """Where the longest run of digit groups from `begin` that is a telephone number ends; None where there is none."""
    end = longest
    while end - begin >= 7:
        piece = text[begin:end]
        if sum(map(str.isdigit, piece)) < 7:
            return None
        if _is_phone(piece, place) or (
            not place.within
            and not _GOES_ON.match(text, end)
            and _is_national(piece, regions, place, alone=place.alone and ends_field(text, _behind_extension(text, end, begin + LONGEST)))
        ):
            return end
        cut = max(piece.rfind(gap) for gap in " \u00a0\t().-/")
        end = begin + len(piece[: max(cut, 0)].rstrip(" \u00a0\t(.-/"))
    return None


def _is_phone(piece: str, place: Place) -> bool:
    """Whether `piece` is a telephone number wherever it stands, or for the words beside it."""
    if _is_something_else(piece):
        return False
    if piece.lstrip("(").startswith("+"):
        return place.announced or _possible(piece.lstrip("("))
    if _NORTH_AMERICAN.fullmatch(piece) or place.announced:
        return True
    return piece.startswith("00") and _possible("+" + _digits(piece)[2:])


def _is_national(piece: str, regions: tuple[str, ...], place: Place, *, alone: bool) -> bool:
    """Whether `piece` is a number as it is dialled within one of `regions`. `alone`: it fills its line or field."""
    if _is_something_else(piece) or _NO_NUMBER.fullmatch(piece) or "+" in piece:
        return False
    groups = re.findall(r"\d+", piece)
    if len(groups) == 1:
        dialled = (_BARE if alone else _BARE_TRUNK).fullmatch(piece) and not isbn.is_valid(piece)
        return bool(dialled) and any(_valid(piece, region) for region in (*regions, "US"))
    # Many crumbs are more often something else.
    if len(groups) > 5 or min(map(len, groups[1:])) < 2:
        return False
    if _THOUSANDS.fullmatch(piece) and ("." in piece or not alone):
        return False
    if _PAIRS.fullmatch(piece) and not alone:
        return False
    unmistakable = "/" not in piece and (alone or (place.led and _NO_AMOUNT.fullmatch(piece) is not None))
    long = len(_digits(piece)) > 7
    return any((unmistakable or (long and _begins_with_trunk_prefix(groups[0], region))) and _valid(piece, region) for region in regions)


def _is_something_else(piece: str) -> bool:
    return len(_digits(piece)) > 15 or piece.count("(") != piece.count(")") or _DATE.fullmatch(piece) is not None or _IPV4.fullmatch(piece) is not None


def _digits(piece: str) -> str:
    return "".join(filter(str.isdigit, piece))


def _begins_with_trunk_prefix(group: str, region: str) -> bool:
    prefix = _trunk_prefix(region)
    # "0" is written together with the code of the place; others, such as Russia's "8", stand for themselves.
    return group.startswith("0") if prefix == "0" else group == prefix


@cache
def _trunk_prefix(region: str) -> str | None:
    """What is dialled before a number within the country, "0" in most; None where there is none."""
    return phonenumbers.ndd_prefix_for_region(region, True)


def _possible(international: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(international.replace("(0)", ""), None))
    except phonenumbers.NumberParseException:
        return False


def _valid(national: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(national, region))
    except phonenumbers.NumberParseException:
        return False
