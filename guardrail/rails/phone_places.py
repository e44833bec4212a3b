"""What the text around a number says of it: whether it is announced as a telephone number, stands alone in its line or field, or is something else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guardrail.rails.cues import LOOKBACK, cued

_SOMETHING_ELSE = (
    r"(?:isbn|issn|doi|ean|sku|order|invoice|ticket|tracking|reference|ref|account|acct|card|version|build|part|serial|iban|ssn|customer|member(?:ship)?|policy|case"
    r"|booking|licen[cs]e|passport|routing|patent|barcode|parcel|shipment|model|id|pin|timestamp|tax|vat)\b"
)
_NOT_A_PHONE = re.compile(rf"\b{_SOMETHING_ELSE}[^\n]{{0,14}}\Z", re.IGNORECASE)
_NO_CONTACT = re.compile(
    rf"\b{_SOMETHING_ELSE}|[$€£¥%]"
    r"|\b(?:total|sum|population|costs?|price|amount|people|inhabitants|revenue|profit|budget|turnover|balance|votes|year)\b",
    re.IGNORECASE,
)
"""What stands above a column or before a figure that is no telephone number."""
_CUE = re.compile(
    r"(?:phone|fon|fono|fax)\b|\bphone|\bmob(?:ile?)?\b|\bcell(?:phone|ular|ulare|ulaire)?\b|\bhandy\b|\bportable\b|\bt[eé]l(?:[eé]f|\b)|\blandline|\bline\b|\bpager\b"
    r"|\bvoice ?mail|\bwhats ?app|\bsignal\b|\bsms\b|\btext(?:ed)? (?:me|him|her|us|them)\b|\bto text\b|\bcall(?:ed|ing)?\b|\bdial|\bring\b|\brang\b|\bhotline"
    r"|\btoll[- ]free|\bcontact|\breach (?:me|him|her|us|them|you|(?:my|our|his|her|their|the) \w+)\b|\bget (?:hold of|through to)\b|\bmessage\b"
    rf"|\b(?:my|his|her|their|our|your) (?:(?!{_SOMETHING_ELSE})\w{{1,10}} ){{0,2}}number|\bnumber (?:I|we|he|she|they|you) \w{{1,10}}\b"
    r"|[\u260e\u260f\u2706\U0001f4de\U0001f4f1]"
    # Right before the number: a label, or what it is said to be.
    r"|\b(?:desk|office|work|home|direct|private)(?: is| at| on)?\W{0,3}\Z|\bph\W{0,3}\Z"
    r"|(?:^|[\n|,;(])\s*(?:(?:ph|[tmpfcohw])\s?[.:)]|[TMPFCOHW])\s?\Z",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\bnumber(?: is| to| at| on|'s)?\W{0,3}\Z", re.IGNORECASE)
_AMOUNT_LIKE = re.compile(r"[1-9]\d{0,2}(?:[ \u00a0.]\d{3})+|\d{7,9}")
_WORDED = re.compile(r"[^\W\d_]|[\u260e\u260f\u2706\U0001f4de\U0001f4f1]")
_LABEL = re.compile(
    r"[ \-,/(\u00a0]{0,3}(?:(?:tele)?phone|(?:tele)?fax|tel|mobile|cell|office|home|work|desk|direct|landline)\b"
    r"| is (?:my|his|her|our|their|your|the) (?:\w{1,10} ){0,2}(?:number|phone|mobile|cell|fax|line)\b| keeps? (?:calling|ringing|texting)\b",
    re.IGNORECASE,
)
_LEADS = re.compile(
    r"(?:\A|[^ ]|\b(?:is|it's|was|at|on|in|from|to|under|with|or|and|via|by|for|behind|try|registered|new|old|listed|about|using|use|of|the|have|has|got|give"
    r"|gave)[ :]{1,2})\Z",
    re.IGNORECASE,
)
_FIELD_BEGINS = re.compile(
    # Behind the state and the postal code of an address ...
    r"[A-Z]{2} \d{5}(?:-\d{4})? \Z"
    # ... a cell, a bullet or a bracket behind words ...
    r"|[^\W\d_][\"')\].]{0,2} ?(?:[|;\t,(\[>/]|[-:*\u2013\u2014\u2022\u00b7] |\" ?[:,] ?\")\s{0,2}[\"']?\Z"
    # ... or a new line.
    r"|[^\W\d_][^\n]{0,24}\n\s{0,2}\Z"
)
_FIELD_ENDS = re.compile(r"[ \u00a0]?(?:\Z|[\n|;\t,)\]<\"'])")
_WITHIN = re.compile(r"(?<![\w-])(?!\d{5} |\d{5}-\d{4} )\(?\d[\d)-]*[ \u00a0]\Z")
"""Digits right before that are no postal code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a number stands, by the text before it."""

    announced: bool = False
    """Words say that it is a telephone number."""
    alone: bool = False
    """It is the first in its line or field, behind words that are about no amount."""
    led: bool = False
    """The word before it is one that a telephone number may follow; "sample" is not."""
    within: bool = False
    """It is the rest of a longer number."""


def place_of(text: str, begin: int, piece: str) -> Place | None:
    """Where `piece` stands, which begins at `begin`; None where the words before it say that it is something else."""
    within = cued(text, begin, _WITHIN)
    # Most numbers among numbers have no word before them at all.
    if not cued(text, begin, _WORDED):
        return Place(led=begin == 0 or text[begin - 1] != " ", within=within)
    other = _NOT_A_PHONE.search(text, max(0, begin - LOOKBACK), begin)
    cues = [cue.end() for cue in _CUE.finditer(text, max(0, begin - LOOKBACK), begin)]
    if other is not None and (not cues or cues[-1] < other.start()):
        return None
    return Place(
        announced=bool(cues) or (not _AMOUNT_LIKE.fullmatch(piece) and cued(text, begin, _NUMBER)),
        alone=cued(text, begin, _FIELD_BEGINS) and not cued(text, begin, _NO_CONTACT),
        led=cued(text, begin, _LEADS),
        within=within,
    )


def labelled(text: str, end: int, limit: int) -> bool:
    """Whether what follows at `end` says that this was a telephone number: "451 5986 (mobile)", "451 5986 is my new number"."""
    return _LABEL.match(text, end, limit) is not None


def ends_field(text: str, end: int) -> bool:
    """Whether a line or a field ends at `end`."""
    return _FIELD_ENDS.match(text, end) is not None
