"""Telephone numbers, judged by Google's libphonenumber where a shape alone does not tell."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import phonenumbers
from stdnum import isbn

from guardrail.rails.cues import cued
from guardrail.types import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 64
"""Characters of the longest number that is looked at, extension included."""
_GAP = r"[ \u00a0\t().\-/]{0,3}"
_HEAD = re.compile(rf"(?<![\w/+])(?<!\d[.,#-])(?=[+(]{{0,2}}(?:\d{_GAP}){{6}}\d)")
_GROUPS = r"[+(]{0,2}\d{1,15}(?:[ \u00a0\t().\-/]{1,3}\d{1,15}){0,6}"
_DIGITS = re.compile(rf"{_GROUPS}(?!\w)")
_EXTENSION = re.compile(r"[ ,]?[ ]?(?:x|ext\.?|extension)[ ]?\d{1,6}(?!\w)", re.IGNORECASE)
_BEFORE_EXTENSION = re.compile(rf"{_GROUPS}(?=[ ,]{{0,2}}(?:x|ext))", re.IGNORECASE)
_NORTH_AMERICAN = re.compile(r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}")
_DATE = re.compile(r"\d{4}([./-])\d{1,2}\1\d{1,2}.*|\d{1,2}([./-])\d{1,2}\2\d{4}.*|(?:1[0-9]|20)\d{2} ?[-/] ?(?:1[0-9]|20)\d{2}")
_NUMBER_BEFORE = re.compile(rf"(?:[2-9]|(?!00|01)\d{{2,9}}) (?=(?:{_NORTH_AMERICAN.pattern})\Z)")
"""Another number before one in the North American grouping, e.g. a postal code."""
_POSTAL_CODE = re.compile(rf"[1-9]\d{{4}} (?=(?:\(?\d{_GAP}){{6}}\d)|\d{{5}} \d{{1,4}}\Z")
"""One before any other number, or before the number of a house."""
_IPV4 = re.compile(r"(?:(?:\d{1,2}|1\d\d|2[0-5]\d)\.){3}(?:\d{1,2}|1\d\d|2[0-5]\d)")
_CUE = re.compile(
    r"(?:phone|fon|fono|fax)\b|\bphone|\bmob(?:ile?)?\b|\bcell(?:phone|ular|ulare|ulaire)?\b|\bhandy\b|\bportable\b|\bt[eé]l(?:[eé]f|\b)|\blandline|\bline\b|\bpager\b"
    r"|\bvoice ?mail|\bwhats ?app|\bsignal\b|\bsms\b|\btext(?:ed)? (?:me|him|her|us|them)\b|\bcall(?:ed|ing)?\b|\bdial|\bring\b|\bhotline|\bcontact"
    r"|\breach (?:me|him|her|us|them|you)\b|\bmessage\b|\b(?:my|his|her|their|our|your) (?:\w{1,10} ){0,2}number|[\u260e\u260f\u2706\U0001f4de\U0001f4f1]"
    # Right before the number: a label, or what it is said to be.
    r"|\bnumber(?: is| to| at| on|'s)?\W{0,3}\Z|\b(?:desk|office|work|home|direct|private)(?: is| at| on)?\W{0,3}\Z"
    r"|(?:^|[\n|,;(])\s*(?:ph|[tmpfcohw])\s?[.:]\s?\Z",
    re.IGNORECASE,
)
_WORDED = re.compile(r"[^\W\d_]|[\u260e\u260f\u2706\U0001f4de\U0001f4f1]")
_LABEL = re.compile(r"[ \-,/(\u00a0]{0,3}(?:(?:tele)?phone|(?:tele)?fax|tel|mobile|cell|office|home|work|desk|direct|landline)\b", re.IGNORECASE)
"""What may stand right behind a number in its place: "451 5986 (mobile)"."""
_NOT_A_PHONE = re.compile(
    r"\b(?:isbn|issn|doi|order|invoice|ticket|tracking|reference|ref|account|acct|card|version|part|serial|iban|ssn)\b[^\n]{0,12}\Z", re.IGNORECASE
)


def phone_numbers(text: str, start: int = 0, *, regions: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Telephone numbers, extension included.

    Counted are numbers with an international prefix that are possible in their country; numbers in the North American grouping; numbers in groups that are
    valid in one of `regions` (ISO 3166 codes); and, beside a word such as "phone" or "office", whatever has 7 to 15 digits and is no date.
    """
    for head in _HEAD.finditer(text, start):
        begin = head.start()
        limit = begin + LONGEST
        match = _BEFORE_EXTENSION.match(text, begin, limit) or _DIGITS.match(text, begin, limit)
        if match is None:
            continue
        # Most numbers among numbers have no word before them at all.
        worded = cued(text, begin, _WORDED)
        announced = worded and cued(text, begin, _CUE)
        if worded and not announced and cued(text, begin, _NOT_A_PHONE):
            continue
        if _NUMBER_BEFORE.match(match.group()) or (not announced and _POSTAL_CODE.match(match.group())):
            continue
        announced = announced or _LABEL.match(text, match.end(), limit) is not None
        end = _end(text, begin, match.end(), regions, announced=announced)
        if end is None:
            continue
        extension = _EXTENSION.match(text, end, limit)
        yield Finding(type="phone", start=begin, end=extension.end() if extension else end, score=1.0 if announced or text[begin] == "+" else 0.8)


def _end(text: str, begin: int, longest: int, regions: tuple[str, ...], *, announced: bool) -> int | None:
    """Where the longest run of digit groups from `begin` that is a telephone number ends; None where there is none."""
    end = longest
    while end - begin >= 7:
        piece = text[begin:end]
        if sum(map(str.isdigit, piece)) < 7:
            return None
        if _is_phone(piece, regions, announced=announced):
            return end
        cut = max(piece.rfind(gap) for gap in " \u00a0\t().-/")
        end = begin + len(piece[: max(cut, 0)].rstrip(" \u00a0\t(.-/"))
    return None


def _is_phone(piece: str, regions: tuple[str, ...], *, announced: bool) -> bool:
    digits = "".join(filter(str.isdigit, piece))
    if len(digits) > 15 or piece.count("(") != piece.count(")") or _DATE.fullmatch(piece) or _IPV4.fullmatch(piece):
        return False
    if piece.lstrip("(").startswith("+"):
        return _possible(piece.lstrip("("))
    if _NORTH_AMERICAN.fullmatch(piece) or announced:
        return True
    if piece.startswith("00"):
        return _possible("+" + digits[2:])
    if len(digits) in (10, 13) and isbn.is_valid(digits):
        return False
    # Digits in one piece, or in many crumbs, are more often something else.
    groups = re.findall(r"\d+", piece)
    if not 2 <= len(groups) <= 6 or min(map(len, groups[1:])) < 2:
        return False
    return any((prefix := _trunk_prefix(region)) is not None and digits.startswith(prefix) and _valid(piece, region) for region in regions)


@cache
def _trunk_prefix(region: str) -> str | None:
    """What is dialled before a number within the country, "0" nearly everywhere; None for North America, which has a grouping instead."""
    return None if phonenumbers.country_code_for_region(region) == 1 else phonenumbers.ndd_prefix_for_region(region, True) or ""


def _possible(international: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(international, None))
    except phonenumbers.NumberParseException:
        return False


def _valid(national: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(national, region))
    except phonenumbers.NumberParseException:
        return False
