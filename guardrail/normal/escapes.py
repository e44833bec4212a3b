"""Characters written as escapes: `%69`, `&#105;`, `\\u0069`, `=69`. The rest of the text stays as it is."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardrail.normal.normalised import Normalised

_URL = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_HTML = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});")
_BACKSLASH = re.compile(r"(?:\\u[0-9A-Fa-f]{4}|\\u\{[0-9A-Fa-f]{1,6}\}|\\U[0-9A-Fa-f]{8}|\\x[0-9A-Fa-f]{2}|\\[0-7]{3})+")
_QUOTED = re.compile(r"(?:=[0-9A-F]{2}){3,}")
_ONE_BACKSLASH = re.compile(r"\\(?:u\{?|U|x)?([0-9A-Fa-f]+)\}?")
_USUAL = frozenset("&'\"\u00a0\u2019\u2018\u201c\u201d\u2013\u2014")
"""What honest text escapes now and then."""
_LEAST = 2
"""Fewest characters, beside the usual ones, that make escapes a disguise."""


def unescaped(given: Normalised) -> Iterator[Normalised]:
    """The whole text with its escapes of one kind resolved, for each kind that it holds."""
    text = given.text
    for how, mark, pattern, decode in _ESCAPES:
        if mark not in text:
            continue
        pieces: list[str] = []
        spans: list[tuple[int, int]] = []
        position = hidden = 0
        for match in pattern.finditer(text):
            found = decode(match.group())
            if found == match.group():
                continue
            pieces += (text[position : match.start()], found)
            spans.extend((place, place + 1) for place in range(position, match.start()))
            spans.extend([match.span()] * len(found))
            position = match.end()
            hidden += sum(character not in _USUAL for character in found)
        if hidden >= _LEAST:
            pieces.append(text[position:])
            spans.extend((place, place + 1) for place in range(position, len(text)))
            yield given.derived("".join(pieces), spans, how)


def _bytes(data: bytes, escape: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return escape


def _url(escape: str) -> str:
    return _bytes(unquote_to_bytes(escape), escape)


def _quoted(escape: str) -> str:
    return _bytes(bytes.fromhex(escape.replace("=", "")), escape)


def _backslash(escape: str) -> str:
    found = []
    for match in _ONE_BACKSLASH.finditer(escape):
        code = int(match.group(1), 8 if match.group()[1].isdigit() else 16)
        found.append(chr(code) if code <= 0x10FFFF else match.group())
    text = "".join(found)
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")  # `\\ud83d\\ude00` is one character
    except UnicodeDecodeError:
        return escape


_ESCAPES: tuple[tuple[str, str, re.Pattern[str], Callable[[str], str]], ...] = (
    ("url", "%", _URL, _url),
    ("html", "&", _HTML, html.unescape),
    ("backslash", "\\", _BACKSLASH, _backslash),
    ("quoted-printable", "=", _QUOTED, _quoted),
)
