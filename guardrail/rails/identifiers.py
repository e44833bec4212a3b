"""Payment cards, bank accounts and national identity numbers: a shape, a checksum, and a cue word where the checksum alone is too weak.

The check digits are those of python-stdnum. A number of nine to eleven digits passes a check of one digit by chance once in ten, so such a number counts
only after a word that announces it ("SSN", "PESEL"); one with a stronger check or a shape of its own counts wherever it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stdnum import iban, luhn
from stdnum.be import nn
from stdnum.bg import egn
from stdnum.ch import ssn as ahv
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.ee import ik
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.gr import amka
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.it import codicefiscale
from stdnum.lt import asmens
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.us import itin, ssn

from guardrail.rails.cues import cued
from guardrail.types import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BEFORE = r"(?<![\w.,/-])"
_CARD = re.compile(r"\d{12,19}(?!\w)|\d{4}(?P<by>[ -])\d{4}(?P=by)\d{4}(?P=by)\d{4}(?:(?P=by)\d{1,3})?(?!\w)|\d{4}(?P<of>[ -])\d{6}(?P=of)\d{4,5}(?!\w)")
_CARD_START = re.compile(r"(?<!\w)(?<!\d[.,/-])\d{4}(?=[\d -]\d)")
_ISSUERS = re.compile(
    r"""4(?:\d{12}|\d{15}|\d{18})                                                                       # Visa
    | (?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}                                  # Mastercard
    | 3[47]\d{13}                                                                                         # American Express
    | 3(?:0[0-59]|[68]\d)\d{11}                                                                           # Diners Club
    | (?:6011|64[4-9]\d|65\d{2}|622\d|81\d{2})\d{12,15}                                                   # Discover, UnionPay in its range, RuPay
    | (?:62\d{2})\d{12,15}                                                                                # UnionPay
    | (?:35(?:2[89]|[3-8]\d)\d{12,15}|(?:2131|1800)\d{11})                                                # JCB
    | (?:50[0-9]{2}|5[6-8]\d{2}|6\d{3})\d{8,15}                                                           # Maestro
    """,
    re.VERBOSE,
)
_CARD_CUE = re.compile(r"\bcards?\b|\bcc\b|\bvisa\b|\bmaster ?card\b|\bamex\b|american express", re.IGNORECASE)
_IBAN = re.compile(
    r"(?<!\w)(?=([A-Za-z]{2}\d{2}[A-Za-z0-9]{11,30}"
    r"|[A-Z]{2}\d{2}(?P<by>[ \u00a0-])[A-Z0-9]{4}(?:(?P=by)[A-Z0-9]{4}){1,6}(?:(?P=by)[A-Z0-9]{1,3})?"
    r"|[a-z]{2}\d{2}(?P<gap>[ \u00a0-])[a-z0-9]{4}(?:(?P=gap)[a-z0-9]{4}){1,6}(?:(?P=gap)[a-z0-9]{1,3})?)(?!\w))"
)
_SSN = re.compile(r"(?<![\w.,/-])(?=(\d{3}-\d{2}-\d{4}|(?P<bare>\d{3} \d{2} \d{4}|\d{9}))(?!\w))")
_SSN_CUE = re.compile(r"\bssns?\b|social[ -]security|\bsoc(?:ial)?\.? ?sec", re.IGNORECASE)
_NINO = re.compile(
    r"(?<!\w)(?!(?i:BG|GB|KN|NK|NT|TN|ZZ))(?:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?P<by> ?)\d{2}(?P=by)\d{2}(?P=by)\d{2}(?P=by)[A-D]"
    r"|[a-ceghj-pr-tw-z][a-ceghj-npr-tw-z]\d{6}[a-d])(?!\w)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """One country's number. `cue` is None where its shape and check digits stand for themselves."""

    shape: re.Pattern[str]
    valid: Callable[[str], bool]
    cue: re.Pattern[str] | None


def _document(shape: str, valid: Callable[[str], bool], cue: str | None = None) -> _Document:
    return _Document(
        shape=re.compile(f"{_BEFORE}(?=({shape})(?!\\w))", re.IGNORECASE),
        valid=valid,
        cue=None if cue is None else re.compile(cue, re.IGNORECASE),
    )


_TAX = r"tax|steuer|\btin\b|identifikation|\bid\b"
_DOCUMENTS = (
    _document(r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", nir.is_valid),  # France: mod 97
    _document(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", nn.is_valid),  # Belgium: mod 97
    _document(r"\d{11}", nn.is_valid, r"national|rijksregister|registre|\bnn\b|\bniss\b"),
    _document(r"\d{8}-?[A-HJ-NP-TV-Z]", dni.is_valid),  # Spain: mod 23
    _document(r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]", nie.is_valid),
    _document(r"[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]", codicefiscale.is_valid),  # Italy: mod 26
    _document(r"\d{2} \d{3} \d{3} \d{3}", idnr.is_valid),  # Germany: mod 11, 10 and its rule of repeated digits
    _document(r"\d{11}", idnr.is_valid, _TAX),
    _document(r"\d{4}\.?\d{2}\.?\d{3}|\d{9}", bsn.is_valid, r"\bbsn\b|burgerservice|sofinummer"),  # Netherlands
    _document(r"\d{11}", pesel.is_valid, r"pesel"),  # Poland
    _document(r"\d{3} ?\d{3} ?\d{3}", nif.is_valid, r"\bnif\b|contribuinte"),  # Portugal
    _document(r"(?:\d{2})?\d{6}[-+]\d{4}", personnummer.is_valid),  # Sweden: date and Luhn
    _document(r"\d{6}[-+A-FYXWVU]\d{3}[0-9A-Y]", hetu.is_valid),  # Finland: date and mod 31
    _document(r"\d{6}-?\d{4}", cpr.is_valid, r"\bcpr\b|personnummer"),  # Denmark: a date only
    _document(r"\d{6} ?\d{5}", fodselsnummer.is_valid),  # Norway: date and two check digits
    _document(r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", ahv.is_valid),  # Switzerland: EAN-13
    _document(r"\d{7}[A-W][A-IW]?", pps.is_valid),  # Ireland: mod 23
    _document(r"\d{6}/\d{4}", rc.is_valid),  # Czechia and Slovakia: date and mod 11
    _document(r"[1-9]\d{12}", cnp.is_valid, r"\bcnp\b|cod numeric"),  # Romania
    _document(r"\d{10}", egn.is_valid, r"\begn\b|егн"),  # Bulgaria
    _document(r"\d{11}", amka.is_valid, r"amka|αμκα"),  # Greece
    _document(r"\d{11}", oib.is_valid, r"\boib\b"),  # Croatia
    _document(r"\d{11}", asmens.is_valid, r"asmens"),  # Lithuania
    _document(r"\d{11}", ik.is_valid, r"isikukood"),  # Estonia
    _document(r"\d{3}[ -]?\d{3}[ -]?\d{4}", nhs.is_valid, r"\bnhs\b"),  # United Kingdom, health service
    _document(r"9\d{2}-\d{2}-\d{4}", itin.is_valid),  # United States, taxpayers without SSN
)


def payment_cards(text: str, start: int = 0) -> Iterator[Finding]:
    """Card numbers (12 to 19 digits, whole or in the usual groups) that pass Luhn's check, of a known issuer or after a word such as "card"."""
    for head in _CARD_START.finditer(text, start):
        match = _CARD.match(text, head.start())
        if match is None:
            continue
        announced = cued(text, match.start(), _CARD_CUE)
        end = match.end()
        while end - match.start() >= 12:
            digits = re.sub("[ -]", "", text[match.start() : end])
            if (announced or _ISSUERS.fullmatch(digits)) and luhn.is_valid(digits):
                yield Finding(type="payment_card", start=match.start(), end=end, score=1.0)
                break
            # A security code may follow the last group.
            end = match.start() + max(match.group().rfind(" ", 0, end - match.start()), match.group().rfind("-", 0, end - match.start()))


def ibans(text: str, start: int = 0) -> Iterator[Finding]:
    """International bank account numbers (ISO 13616): length and structure of the country, and mod 97; in one piece or in groups of four."""
    for match in _IBAN.finditer(text, start):
        begin, end = match.span(1)
        while end > begin:
            if iban.is_valid(text[begin:end].replace("\u00a0", ""), check_country=False):
                yield Finding(type="iban", start=begin, end=end, score=1.0)
                break
            # A group in capitals or digits may follow that belongs to the sentence.
            end = begin + max(match[1].rfind(gap, 0, end - begin) for gap in " \u00a0-")


def us_ssns(text: str, start: int = 0) -> Iterator[Finding]:
    """US social security numbers that could have been issued; without hyphens only after a cue."""
    for match in _SSN.finditer(text, start):
        announced = cued(text, match.start(), _SSN_CUE)
        if (announced or match["bare"] is None) and ssn.is_valid(match[1].replace(" ", "")):
            yield Finding(type="us_ssn", start=match.start(), end=match.end(1), score=1.0 if announced else 0.9)


def uk_ninos(text: str, start: int = 0) -> Iterator[Finding]:
    """UK national insurance numbers: no check digit, but prefixes that are never issued."""
    for match in _NINO.finditer(text, start):
        yield Finding(type="uk_nino", start=match.start(), end=match.end(), score=0.9)


def national_ids(text: str, start: int = 0) -> Iterator[Finding]:
    """Identity, social security and personal tax numbers of the European countries and the US taxpayer number, each with its own checksum."""
    for document in _DOCUMENTS:
        for match in document.shape.finditer(text, start):
            if document.valid(match[1]) and (document.cue is None or cued(text, match.start(), document.cue)):
                yield Finding(type="national_id", start=match.start(), end=match.end(1), score=1.0)
