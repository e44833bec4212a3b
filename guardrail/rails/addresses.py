"""E-mail and IP addresses."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from guardrail.types import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

_LETTER = "A-Za-z0-9\u00c0-\u024f"
_LOCAL = re.compile(rf"(?<![{_LETTER}_.%+'&-])[{_LETTER}_](?:[{_LETTER}_.%+'&-]{{0,62}}[{_LETTER}_+-])?\Z")
_LOCAL_LONGEST = 64
_DOMAIN = re.compile(rf"(?:[{_LETTER}](?:[{_LETTER}-]{{0,61}}[{_LETTER}])?\.){{1,8}}(?:[A-Za-z]{{2,24}}|xn--[A-Za-z0-9-]{{2,40}})(?![{_LETTER}])")
_FILE_ENDINGS = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "json", "md", "py", "txt"})
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]{4}:)(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?![\w:])")


def emails(text: str, start: int = 0) -> Iterator[Finding]:
    """E-mail addresses with a dotted domain, Latin letters with accents included."""
    at = text.find("@", start)
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        if domain is not None and domain.group().rpartition(".")[2].lower() not in _FILE_ENDINGS:
            local = _LOCAL.search(text, max(start, at - _LOCAL_LONGEST), at)
            if local is not None:
                yield Finding(type="email", start=local.start(), end=domain.end(), score=1.0)
        at = text.find("@", at + 1)


def ip_addresses(text: str, start: int = 0) -> Iterator[Finding]:
    """IPv4 and IPv6 addresses that name a host: the unspecified and the loopback address are left out."""
    for pattern, address in ((_IPV4, IPv4Address), (_IPV6, IPv6Address)):
        for match in pattern.finditer(text, start):
            try:
                host = address(match.group())
            except AddressValueError:
                continue
            if not host.is_unspecified and not host.is_loopback:
                yield Finding(type="ip_address", start=match.start(), end=match.end(), score=0.8)
