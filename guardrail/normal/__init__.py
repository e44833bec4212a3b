"""One reading of a text for all rails, with a map back to what was written; and the readings that a text may hide."""

from guardrail.normal.cleaning import normalise, plain
from guardrail.normal.fragments import joined
from guardrail.normal.hidden import readings
from guardrail.normal.normalised import Normalised
from guardrail.normal.skeleton import skeleton

__all__ = ["Normalised", "joined", "normalise", "plain", "readings", "skeleton"]
