"""Keys, tokens and passwords: by the marks that their issuers give them, and by the name that they are assigned to.

The patterns follow the issuers' documentation. detect-secrets, the usual library, reads lines and gives no spans, has had no release since May 2024, and knows
neither Anthropic's keys nor OpenAI's present ones.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from guardrail.rails.cues import LOOKBACK
from guardrail.types import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_KEY = 16_384
"""Characters of the longest private key."""
LONGEST_TOKEN = 9_216
"""Characters of the longest token of another kind."""

_ISSUED = re.compile(
    r"""(?<![A-Za-z0-9_])(?:
      (?P<aws>(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}|(?:AKIA|ASIA)[A-Z0-9]{16})
    | (?P<github>gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})
    | (?P<gitlab>gl(?:pat|ptt|rt|dt|cbt)-[\w-]{20,64})
    | (?P<prefixed_sk>sk-(?:ant-|proj-|svcacct-|admin-|or-v1-|lf-)?[\w-]{20,250})
    | (?P<slack>xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{20,250})
    | (?P<slack_hook>hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,32})
    | (?P<google>AIza[\w-]{35}|ya29\.[\w-]{20,300}|GOCSPX-[\w-]{28})
    | (?P<stripe>[sr]k_(?:live|test)_[A-Za-z0-9]{10,250}|whsec_[A-Za-z0-9+/=]{24,100})
    | (?P<others>hf_[A-Za-z0-9]{34,40}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,250}|SG\.[\w-]{16,32}\.[\w-]{32,64}|dop_v1_[a-f0-9]{64}|shpat_[a-fA-F0-9]{32}
        |gsk_[A-Za-z0-9]{40,64}|xai-[A-Za-z0-9]{60,100}|r8_[A-Za-z0-9]{37}|pplx-[A-Za-z0-9]{40,64}|key-[0-9a-f]{32}|\d{8,10}:AA[\w-]{33})
    )(?![A-Za-z0-9])""",
    re.VERBOSE,
)
_ISSUED_HINT = re.compile(
    r"A[KSBC]I?[AC]A?|gh[pousr]_|github_pat|gl[a-z]{2,3}-|sk-|xox|xapp-|hooks\.|AIza|ya29|GOCSPX|[sr]k_|whsec_|hf_|npm_|pypi-|SG\.|_v1_|shpat_|gsk_|xai-|r8_|pplx-|key-|:AA"
)
_JWT = re.compile(r"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{8,2000})\.[A-Za-z0-9_-]{4,6000}\.[A-Za-z0-9_-]{0,1000}")
_GAP = r"(?:\s|\\[nr]){0,8}"
_HEADER = r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_BODY = rf"(?:{_GAP}(?:[A-Za-z0-9+/=]{{16,8192}}|(?:Proc-Type|DEK-Info|Version|Comment): [^\n\\]{{1,100}})){{0,500}}+"
_PRIVATE_KEY = re.compile(rf"{_HEADER}{_BODY}(?:(?:{_GAP}[A-Za-z0-9+/=]{{1,15}}){{0,2}}{_GAP}-----END [A-Z0-9 ]{{0,40}}-----)?")
_OPEN_KEY = re.compile(
    rf"-----BEGIN(?: [A-Z0-9 -]{{0,60}})?\Z"
    rf"|{_HEADER}{_BODY}{_GAP}(?:[A-Za-z0-9+/=:, -]{{0,110}}{_GAP}){{0,2}}(?:-{{1,5}}(?:E(?:N(?:D[A-Z0-9 ]{{0,41}}-{{0,5}})?)?)?)?\Z"
)
_ASSIGNED = re.compile(
    r"""(?:(?P<password>pass(?:word|wd|phrase|code)|pwd)
        | (?P<key>(?:api|auth|access|(?:secret|private|encryption|account|signing|master)(?:[_ -]?access)?)[_ -]?key(?:[_ -]?id)?|secret|token|credentials?))
        ["'`\]]{0,2}\s{0,3}(?:(?P<sign>:=|=>|==?|:)|\bis\b|\bof\b)\s{0,3}["'`]?
      | (?P<bearer>\bbearer\s{1,3})""",
    re.VERBOSE | re.IGNORECASE,
)
_VALUE = re.compile(r"[^\s\"'`<>\[\]{}(),;]{6,250}")
_URL_PASSWORD = re.compile(r"://[^\s/:@\[\]]{1,64}:([^\s/@\[\]]{1,100})@")
_KEY_VALUE = re.compile(r"[A-Za-z0-9+/=_.~:%-]{16,250}")
_REFERENCE = re.compile(r"[$%*.x-].*|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|.*[*x.]{4}.*|[a-z_]+\.[a-z_.]+")
"""What stands for a secret and is none: a variable, a name in capitals, a mask, an attribute."""
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LEAST_ENTROPY = 3.0


def private_keys(text: str, start: int = 0) -> Iterator[Finding]:
    """Private keys in PEM, from the header to the footer, or to the last whole line where the footer is missing."""
    at = text.find("-----BEGIN", start)
    while at >= 0:
        match = _PRIVATE_KEY.match(text, at, at + LONGEST_KEY)
        if match is not None:
            yield Finding(type="private_key", start=match.start(), end=match.end(), score=1.0)
        at = text.find("-----BEGIN", at + 1)


def open_private_key(text: str, start: int) -> int | None:
    """Where a private key begins that may go on behind the end of `text`; None where there is none."""
    at = text.find("-----BEGIN", max(start, len(text) - LONGEST_KEY))
    while at >= 0:
        if _OPEN_KEY.match(text, at) is not None:
            return at
        at = text.find("-----BEGIN", at + 1)
    return None


def json_web_tokens(text: str, start: int = 0) -> Iterator[Finding]:
    """Signed JSON web tokens (RFC 7519) whose header can be decoded and names an algorithm."""
    if "eyJ" not in text:
        return
    for match in _JWT.finditer(text, start):
        if _is_jwt_header(match[1]):
            yield Finding(type="jwt", start=match.start(), end=match.end(), score=1.0)


def api_keys(text: str, start: int = 0) -> Iterator[Finding]:
    """Keys and tokens with their issuer's mark. The score is lower where GitHub's checksum does not hold."""
    if _ISSUED_HINT.search(text, start) is None:
        return
    for match in _ISSUED.finditer(text, start):
        token = match.group()
        if match["prefixed_sk"] and not _is_random(token[3:]):
            continue
        genuine = not (match["github"] and len(token) == 40) or _github_checksum(token)
        yield Finding(type="api_key", start=match.start(), end=match.end(), score=1.0 if genuine else 0.8)


def credentials(text: str, start: int = 0) -> Iterator[Finding]:
    """Values that the text itself calls a password, a key or a token (`api_key = ...`, `password: ...`), and the password in a URL. The span is the value.

    A password needs letters and something else; the value of a key 16 characters, letters and digits, and an entropy of 3 bits a character.
    """
    for assigned in _ASSIGNED.finditer(text, max(0, start - LOOKBACK)):
        value = _VALUE.match(text, assigned.end())
        if value is None or assigned.end() < start or assigned.end() - assigned.start() > LOOKBACK:
            continue
        secret = value.group().rstrip(".:?")
        if _REFERENCE.fullmatch(secret):
            continue
        if _is_password(secret) if assigned["password"] else _KEY_VALUE.fullmatch(secret) and _is_random(secret):
            yield Finding(type="credential", start=value.start(), end=value.start() + len(secret), score=0.9 if assigned["sign"] else 0.7)
    for url in _URL_PASSWORD.finditer(text, max(0, start - LOOKBACK)):
        if url.start(1) >= start and not _REFERENCE.fullmatch(url[1]):
            yield Finding(type="credential", start=url.start(1), end=url.end(1), score=1.0)


def _is_password(value: str) -> bool:
    return len(value) >= 6 and any(map(str.isalpha, value)) and any(not character.isalpha() and character not in "-./:_" for character in value)


def _is_random(value: str) -> bool:
    """Letters and digits, with at least `_LEAST_ENTROPY` bits a character (Shannon)."""
    if not (any(map(str.isdigit, value)) and any(map(str.isalpha, value))):
        return False
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values()) >= _LEAST_ENTROPY


def _is_jwt_header(segment: str) -> bool:
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(header, dict) and "alg" in header


def _github_checksum(token: str) -> bool:
    """Whether the last six characters are the CRC-32 of the thirty random ones, in base 62."""
    value = zlib.crc32(token[4:34].encode())
    digits = ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = _BASE62[digit] + digits
    return digits == token[34:]
