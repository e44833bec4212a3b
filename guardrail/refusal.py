"""Which words turn something away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail.enforcement import enforced
from guardrail.prompts import LINE_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrail.types import Verdict


def refused_for(verdicts: Iterable[Verdict]) -> str:
    """Which of a persona's lines turns away what `verdicts` found: that of the gravest finding, and before all others the one for someone in distress."""
    found = [(finding.score, finding.type) for verdict in verdicts if enforced(verdict) for finding in verdict.findings if finding.type in LINE_KINDS]
    return "self_harm" if any(kind == "self_harm" for _, kind in found) else max(found)[1] if found else "refusal"
