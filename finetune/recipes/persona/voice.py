"""What the library says of a persona, as the persona says it: "Aristotle holds that ..." as "I hold that ...", written by hand, sentence by sentence."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.finetune.recipes.persona.paragraphs import plain
from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).with_name("first_person.jsonl")
"""Lines of {"sentence", "said"}; the sentence as it stands in the library."""


def in_person(sentence: str) -> str:
    """A sentence of the library as its persona says it; any other as it is."""
    return _said().get(sentence, sentence)


def spoken(text: str) -> str:
    """The same for every sentence of a text."""
    return " ".join(in_person(text[start:end]) for start, end in spans(text))


@cache
def _said() -> Mapping[str, str]:
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {plain(row["sentence"]): plain(row["said"]) for row in rows}
