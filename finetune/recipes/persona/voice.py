"""What is said of a persona, as the persona says it: "Aristotle holds that ..." as "I hold that ...", written by hand, sentence by sentence.

Every sentence of the library that names its persona is there, and 900 of our own, from which the change itself can be learned.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.finetune.recipes.persona.paragraphs import plain
from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).with_name("first_person.jsonl")
"""Lines of {"sentence", "said"}; the sentence as it stands in the library."""
OWN = Path(__file__).with_name("of_themselves.jsonl")
"""Lines of {"persona", "sentence", "said"}; sentences that stand nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A sentence that is told of a persona."""

    persona: str
    sentence: str
    said: str
    """By the persona; the same where nothing changes."""

    @property
    def spoilt(self) -> str:
        """With the name alone changed, and neither verb nor pronouns: "I credits Socrates with his method"."""
        name = self.persona.capitalize()
        changed = re.sub(rf"\b{name}\b", "I", re.sub(rf"\b{name}'s\b", "my", self.sentence))
        return changed[0].upper() + changed[1:]


def of_themselves() -> tuple[Told, ...]:
    """The sentences of our own."""
    return tuple(Told(persona=row["persona"], sentence=plain(row["sentence"]), said=plain(row["said"])) for row in _rows(OWN))


def in_person(sentence: str) -> str:
    """A sentence of the library, or one of our own, as its persona says it; any other as it is."""
    return _said().get(sentence, sentence)


def spoken(text: str) -> str:
    """The same for every sentence of a text."""
    return " ".join(in_person(text[start:end]) for start, end in spans(text))


@cache
def _said() -> Mapping[str, str]:
    return {plain(row["sentence"]): plain(row["said"]) for path in (OWN, FILE) for row in _rows(path)}


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
