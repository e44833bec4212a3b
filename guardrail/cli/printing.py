"""What commands print: lines of JSON, and replies as text for a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from guardrail.types import Answer

if TYPE_CHECKING:
    from guardrail.types import Citation, Reply

_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {0x09, 0x0A})
"""Control characters but tab and newline: a model's text must not steer the terminal."""


def json_line(value: Any) -> None:
    """`value` as one line of JSON in UTF-8, at once."""
    click.echo(msgspec.json.encode(value))
    sys.stdout.flush()


def shown(text: str) -> str:
    """`text` without characters that steer a terminal."""
    return text.translate(_CONTROLS)


def sources(reply: Reply) -> list[Citation]:
    """Each source of the reply once, in the order of their markers."""
    found: dict[str, Citation] = {}
    for citation in reply.citations if isinstance(reply, Answer) else ():
        found.setdefault(citation.marker, citation)
    return list(found.values())


def source_line(citation: Citation) -> str:
    """`[1] Republic VII 514a-515c: The allegory of the Cave`."""
    place = " ".join(part for part in (citation.work, citation.locator) if part)
    return shown(": ".join(part for part in (f"{citation.marker} {place}".strip(), citation.title) if part))
