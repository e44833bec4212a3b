"""What of a check stands in the way of a text that others wrote: for the programs that use the rails alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrail.types import Check, Finding, Verdict

GROUNDING = "grounding"
"""The rail that speaks of passages; without any it has nothing to say."""


def objections(check: Check, *, grounded: bool) -> tuple[Verdict, ...]:
    """The verdicts that are enforced and do not let the text pass as it is. Grounding counts only where the text was checked against passages (`grounded`)."""
    return tuple(verdict for verdict in check.verdicts if verdict.decision != "pass" and verdict.mode == "enforce" and (grounded or verdict.rail != GROUNDING))


def stopping(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The first of `verdicts` that stops the text as a whole; None where what they found can be masked."""
    return next((verdict for verdict in verdicts if verdict.decision != "modify" or verdict.rail == GROUNDING), None)


def masked(text: str, findings: Iterable[Finding]) -> str:
    """`text` with every one of `findings` replaced by its type, e.g. `[EMAIL]`. Where they overlap, the first covers them all."""
    shown, place = "", 0
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if finding.start >= place:
            shown += f"{text[place : finding.start]}[{finding.type.upper()}]"
        place = max(place, finding.end)
    return shown + text[place:]


def explained(verdict: Verdict) -> str:
    """One sentence for whoever sent the text; it holds nothing of it."""
    return f"Stopped by the rail '{verdict.rail}'" + (f": {verdict.reason}." if verdict.reason else ".")
