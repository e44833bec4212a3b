"""Stretches of a text in a code that noise hardly ever fits: base64, hex, Morse and their like; and what is written in characters that do not show."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardrail.normal.normalised import Normalised

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{8,}={0,2}(?:\r?\n[A-Za-z0-9+/_-]{8,}={0,2})*(?![A-Za-z0-9+/])|=[A-Za-z0-9+/]{8,}")
_PLAIN = re.compile(r"(?:[/_-]?(?:[A-Z]?[a-z]+|[A-Z]+|\d+))(?:[/_-]+(?:[A-Z]?[a-z]+|[A-Z]+|\d+))*[/_-]*")
"""A word or a number, or several with hyphens or slashes between them: never base64 of any length."""
_BASE32 = re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{16,}=*")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x|\\x)?[0-9A-Fa-f]{2}(?:[ \t\n,:;-]{0,2}(?:0x|\\x)?[0-9A-Fa-f]{2}){3,}(?![0-9A-Za-z])")
_BINARY = re.compile(r"(?<!\d)[01]{8}(?:[ ,\n]{0,2}[01]{8}){2,}(?!\d)")
_DECIMAL = re.compile(r"(?<!\d)(?:\d{2,3}[ ,;]{1,2}){4,}\d{2,3}(?!\d)")
_ASCII85 = re.compile(r"<~([!-uz\s]{5,}?)~>")
_MORSE = re.compile(r"(?<![^\s/|])[.\-·•–—−_]{1,6}(?:[ /|]{1,3}[.\-·•–—−_]{1,6}){4,}")
_BRAILLE = re.compile("[\u2801-\u283f][\u2800-\u283f ]{3,}")
_SYMBOLS = re.compile(
    "[\U0001f1e6-\U0001f1ff\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189][\U0001f1e6-\U0001f1ff\U0001f130-\U0001f189\u200b\ufe0f ]{2,}"
)
_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_BITS = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff]{24,}")

_FIGURE = re.compile("[0-9]")
_IN_FIGURES = frozenset({"hex", "binary", "decimal"})
_IN_SIGNS = frozenset({"braille", "letter symbols"})
"""Codes that cannot stand where there is no figure, and where there is nothing but ASCII."""
_MORSE_LETTERS = dict(
    zip(
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..".split(),
        "abcdefghijklmnopqrstuvwxyz",
        strict=True,
    )
) | dict(zip("----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.".split(), "0123456789", strict=True))
_BRAILLE_LETTERS = dict(zip("⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵⠀", "abcdefghijklmnopqrstuvwxyz ", strict=True))


def decoded(given: Normalised) -> Iterator[Normalised]:
    """What the coded stretches of `given` say, each as a reading of its own. Every character of a reading stands for its whole stretch."""
    text = given.text
    figures, ascii_only = _FIGURE.search(text) is not None, text.isascii()
    for how, pattern, decode in _CODES:
        if (how in _IN_FIGURES and not figures) or (how in _IN_SIGNS and ascii_only):
            continue
        for match in pattern.finditer(text):
            for found in decode(match.group()):
                yield given.part(*match.span()).derived(found, [(0, match.end() - match.start())] * len(found), how)


def unseen(given: Normalised) -> Iterator[Normalised]:
    """What is written in the characters of a text that do not show, before any of them was taken out."""
    for how, pattern, decode in _UNSEEN:
        for match in pattern.finditer(given.text):
            for found in decode(match.group()):
                yield given.part(*match.span()).derived(found, [(0, match.end() - match.start())] * len(found), how)


def _text(data: bytes) -> Iterator[str]:
    """`data` as the text that it encodes, if it does."""
    if len(data) >= 8 and len(data) % 2 == 0 and not any(data[1::2]):
        data = data[::2]
    for cut in range(min(4, len(data))):  # a stretch may end within a character
        try:
            text = (data[:-cut] if cut else data).decode()
        except UnicodeDecodeError:
            continue
        if len(text) >= 3 and all(character.isprintable() or character in "\n\r\t" for character in text):
            yield text
        return


def _base64(token: str) -> Iterator[str]:
    if _PLAIN.fullmatch(token):
        return
    lines = token.split()
    for whole in ("".join(lines), *(lines if len(lines) > 1 else ())):
        turned = (codecs.encode(whole, "rot13"), whole[::-1]) if len(whole) >= 12 else ()
        for variant in (whole, *turned):
            bare = variant.strip("=").translate(_STANDARD)
            if len(bare) % 4 == 1:
                bare = bare[:-1]
            try:
                found = list(_text(base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)))
            except (binascii.Error, ValueError):
                continue
            if found:
                yield from found
                break


_STANDARD = str.maketrans("-_", "+/")


def _base32(token: str) -> Iterator[str]:
    bare = token.rstrip("=")
    bare = bare[: len(bare) - (len(bare) % 8 in {1, 3, 6})]
    try:
        yield from _text(base64.b32decode(bare + "=" * (-len(bare) % 8)))
    except (binascii.Error, ValueError):
        return


def _hex(stretch: str) -> Iterator[str]:
    digits = re.sub(r"0x|\\x|[^0-9A-Fa-f]", "", stretch)
    for variant in (digits, digits[::-1]):
        if len(variant) % 2 == 0:
            yield from _text(bytes.fromhex(variant))


def _binary(stretch: str) -> Iterator[str]:
    bits = re.sub("[^01]", "", stretch)
    yield from _text(bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits) - 7, 8)))


def _decimal(stretch: str) -> Iterator[str]:
    codes = [int(number) for number in re.findall(r"\d+", stretch)]
    if all(code < 128 for code in codes):
        yield from _text(bytes(codes))


def _ascii85(stretch: str) -> Iterator[str]:
    try:
        yield from _text(base64.a85decode(stretch, adobe=True))
    except (binascii.Error, ValueError):
        return


def _morse(stretch: str) -> Iterator[str]:
    signs = re.sub("[·•]", ".", re.sub("[–—−_]", "-", stretch))
    found = []
    for word in re.split(r" *[/|] *| {2,}", signs):
        letters = [_MORSE_LETTERS.get(letter) for letter in word.split()]
        found.append("".join(letter or "?" for letter in letters))
    text = " ".join(found)
    if "?" not in text and len(set(text)) > 2:
        yield text


def _braille(stretch: str) -> Iterator[str]:
    yield "".join(_BRAILLE_LETTERS.get(character, character) for character in stretch).strip()


def _symbols(stretch: str) -> Iterator[str]:
    """Letters in boxes, circles and flags."""
    yield "".join(
        chr(97 + (code - first) % 26) if (first := next((start for start in _ALPHABETS if start <= code < start + 26), 0)) else " " if character == " " else ""
        for character in stretch
        for code in (ord(character),)
    ).strip()


_ALPHABETS = (0x1F1E6, 0x1F130, 0x1F150, 0x1F170)


def _tags(stretch: str) -> Iterator[str]:
    yield "".join(chr(ord(character) - 0xE0000) for character in stretch)


def _selectors(stretch: str) -> Iterator[str]:
    yield from _text(bytes(code - 0xFE00 if code < 0xFE10 else min(255, code - 0xE0100 + 16) for code in map(ord, stretch)))


def _bits(stretch: str) -> Iterator[str]:
    """Bits in two kinds of zero-width characters."""
    kinds = sorted(set(stretch))
    if len(kinds) == 2:
        for zero in kinds:
            yield from _binary("".join("0" if character == zero else "1" for character in stretch))


_CODES: tuple[tuple[str, re.Pattern[str], Callable[[str], Iterator[str]]], ...] = (
    ("base64", _BASE64, _base64),
    ("base32", _BASE32, _base32),
    ("hex", _HEX, _hex),
    ("binary", _BINARY, _binary),
    ("decimal", _DECIMAL, _decimal),
    ("ascii85", _ASCII85, _ascii85),
    ("morse", _MORSE, _morse),
    ("braille", _BRAILLE, _braille),
    ("letter symbols", _SYMBOLS, _symbols),
)
_UNSEEN: tuple[tuple[str, re.Pattern[str], Callable[[str], Iterator[str]]], ...] = (
    ("tags", _TAGS, _tags),
    ("variation selectors", _SELECTORS, _selectors),
    ("zero width", _BITS, _bits),
)
