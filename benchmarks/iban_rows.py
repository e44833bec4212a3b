"""Bank account numbers that we made ourselves, for want of a public set: the structure of every country in the IBAN registry, in sentences of our own.

The registry comes with python-stdnum. Digits and letters are drawn; the check digits are right, or wrong on purpose: a digit changed, two neighbours changed
places, a character too few. Half of the countries, by SHA-256, are `dev`; the rules were written with an eye on those only.
"""

from __future__ import annotations

import hashlib
import random
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stdnum import iban, numdb

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART = re.compile(r"(\d+)!([nac])")
_ALPHABETS = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}
_SENTENCES = (
    "My account is {}.",
    "IBAN: {}",
    "Please transfer 250 EUR to {} AND tell me",
    "{}",
    "account holder Ana Brandt, {}, Leeds",
    '{{"iban": "{}", "name": "Ana"}}',
    "Ana;{};1999",
    "from {} to my savings, on 12.04.2022",
    "Send it to ({}), in 3 parts",
    "number\n{}\nthank you",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IbanRow:
    """A sentence, with where its account number stands; None where the number in it is broken."""

    country: str
    form: str
    text: str
    span: tuple[int, int] | None


def countries() -> tuple[str, ...]:
    """The codes of the registry."""
    codes = (first + second for first in string.ascii_uppercase for second in string.ascii_uppercase)
    return tuple(code for code in codes if _structure(code))


def part_of(country: str) -> str:
    """Which part a country belongs to: half of them each."""
    return "dev" if hashlib.sha256(f"iban-{country}".encode()).digest()[0] % 2 == 0 else "test"


def rows(part: str, *, seed: int = 0) -> Iterator[IbanRow]:
    """Every country of `part` ("all" for all), in every form, valid and broken."""
    dice = random.Random(seed)
    for country in countries():
        if part not in ("all", part_of(country)):
            continue
        for form in ("whole", "groups", "hyphens", "lower", "lower groups", "no-break groups"):
            for broken in (False, False, True):
                number = _valid(country, dice)
                if broken:
                    number = _broken(number, dice)
                before, after = dice.choice(_SENTENCES).replace("{{", "\0").replace("}}", "\1").split("{}")
                before, after = (side.replace("\0", "{").replace("\1", "}") for side in (before, after))
                written = _written(number, form)
                span = None if broken else (len(before), len(before) + len(written))
                yield IbanRow(country=country, form=form, text=before + written + after, span=span)


def _structure(country: str) -> str:
    return str(numdb.get("iban").info(country)[0][1].get("bban", ""))


def _valid(country: str, dice: random.Random) -> str:
    account = "".join(dice.choice(_ALPHABETS[kind]) for count, kind in _PART.findall(_structure(country)) for _ in range(int(count)))
    return country + iban.calc_check_digits(f"{country}00{account}") + account


def _broken(number: str, dice: random.Random) -> str:
    """`number` with a fault that its check digits or its length give away."""
    while True:
        at = dice.randrange(4, len(number) - 1)
        faulty = dice.choice(
            (
                number[:at] + dice.choice(string.digits) + number[at + 1 :],
                number[:at] + number[at + 1] + number[at] + number[at + 2 :],
                number[:at] + number[at + 1 :],
            )
        )
        if not iban.is_valid(faulty, check_country=False):
            return faulty


def _written(number: str, form: str) -> str:
    separator = {"groups": " ", "lower groups": " ", "hyphens": "-", "no-break groups": "\u00a0"}.get(form, "")
    written = separator.join(number[at : at + 4] for at in range(0, len(number), 4)) if separator else number
    return written.lower() if form.startswith("lower") else written
