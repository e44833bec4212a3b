"""What the stream probe found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One script, asked one way."""

    script: str
    place: str
    stream: bool
    status: int
    """HTTP status; a server that refuses what was asked for (n > 1, tools, log probabilities) says 4xx."""
    leaked: int
    """Characters of the forbidden text that reached the wire, 0 to its length; the most in any one field."""
    fields: tuple[tuple[str, int], ...]
    """The fields that held some of it, with how much."""
    missing: tuple[str, ...]
    """What the answer lacks of `usage`, `finish_reason` and `[DONE]`."""
    broken: str | None
    """Why the answer stopped before its end, if it did."""
    abrupt: bool
    """Whether the model itself ended abruptly, so that the answer may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A script whose stream and whole reply differ."""

    script: str
    what: str
    """`text` or `finish_reason`."""
    stream: str
    whole: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds of one benign stream."""

    first_byte_ms: float
    """From the request to the first byte of the body."""
    first_text_ms: float | None
    """From the request to the first text of the reply."""
    held_ms: float | None
    """From the model's first piece to the first text of the reply: what the server holds back and checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of one run."""

    url: str
    model: str
    characters: int
    """Length of the forbidden text."""
    exposures: tuple[Exposure, ...]
    disagreements: tuple[Disagreement, ...]
    benign_stream: bool
    benign_whole: bool
    """Whether a text without the forbidden one came through unchanged. Where it did not, that nothing leaked says little."""
    timing: Timing | None

    @property
    def leaks(self) -> tuple[Exposure, ...]:
        """The answers that gave something away."""
        return tuple(exposure for exposure in self.exposures if exposure.leaked)

    @property
    def broken(self) -> tuple[Exposure, ...]:
        """The answers that stopped before their end though the model did not, or that were the server's own failure."""
        return tuple(exposure for exposure in self.exposures if not exposure.abrupt and (exposure.broken or exposure.status >= 500))

    @property
    def incomplete(self) -> tuple[Exposure, ...]:
        """The answers that ended without saying how. A script that ends abruptly itself is left out."""
        return tuple(exposure for exposure in self.exposures if exposure.missing)


def report_object(report: Report) -> dict[str, Any]:
    """The report as plain JSON values."""
    return {
        "url": report.url,
        "model": report.model,
        "characters": report.characters,
        "answers": len(report.exposures),
        "leaks": len(report.leaks),
        "worst": max((exposure.leaked for exposure in report.exposures), default=0),
        "benign": {"stream": report.benign_stream, "whole": report.benign_whole},
        "timing": None
        if report.timing is None
        else {"first_byte_ms": report.timing.first_byte_ms, "first_text_ms": report.timing.first_text_ms, "held_ms": report.timing.held_ms},
        "disagreements": [{"script": item.script, "what": item.what, "stream": item.stream, "whole": item.whole} for item in report.disagreements],
        "exposures": [
            {
                "script": item.script,
                "place": item.place,
                "stream": item.stream,
                "status": item.status,
                "leaked": item.leaked,
                "fields": dict(item.fields),
                "missing": list(item.missing),
                "broken": item.broken,
                "abrupt": item.abrupt,
            }
            for item in report.exposures
        ],
    }
