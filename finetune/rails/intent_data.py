"""Messages that are no offence, by intent, from the public data sets and from `intent_questions.jsonl`."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardrail.rails.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = Path(__file__).with_name("intent_questions.jsonl")
EVERYDAY = Path(__file__).with_name("library_questions.jsonl")
"""Questions in everyday words, each with the passage of the built-in library that answers it."""
LIBRARY = Path(__file__).parents[2] / "index" / "library"
LICENCES = {
    "own": "Apache-2.0 (written for this project)",
    "library": "Apache-2.0 (templates over the titles of the built-in library)",
    "chitchat": "MIT",
    "clinc150": "CC BY 3.0",
    "chatterbot": "BSD-3-Clause",
    "banking77": "CC BY 4.0",
    "self_instruct": "Apache-2.0",
    "xquad": "CC BY-SA 4.0",
    "adversarial_qa": "CC BY-SA (upstream), copy Apache-2.0",
}
_PATTERNS = (
    "What is {}?",
    "Tell me about {}",
    "Explain {}",
    "{}",
    "{}?",
    "What do you think about {}?",
    "Could you explain {} to me in simple words?",
    "I would like to understand {}",
    "Why does {} matter?",
    "What did Plato say about {}?",
    "What does Aristotle teach on {}?",
    "hello, what can you tell me about {}",
)
_CHITCHAT: dict[str, str | None] = {
    **dict.fromkeys(("cc_053", "cc_054", "cc_055", "cc_060", "cc_059"), "greeting"),
    # What a philosopher is asked anyway, and what belongs to other labels or to a follow-up, is not small talk here.
    **dict.fromkeys(("cc_017", "cc_046"), "question"),
    **dict.fromkeys(("cc_002", "cc_010", "cc_016", "cc_020", "cc_022", "cc_026", "cc_028", "cc_030", "cc_031", "cc_050", "cc_057", "cc_086"), None),
    "cc_015": "out_of_scope",
}
_CLINC: dict[str, str | None] = {
    "greeting": "greeting",
    "meaning_of_life": "question",
    **dict.fromkeys(
        (
            "what_can_i_ask_you",
            "who_made_you",
            "thank_you",
            "do_you_have_pets",
            "goodbye",
            "what_is_your_name",
            "what_are_your_hobbies",
            "are_you_a_bot",
            "tell_joke",
        ),
        "smalltalk",
    ),
    **dict.fromkeys(
        ("where_are_you_from", "how_old_are_you", "who_do_you_work_for", "definition", "repeat", "maybe", "yes", "no", "cancel", "user_name"), None
    ),
}
_CHATTERBOT: dict[str, str] = {
    "greetings": "greeting",
    **dict.fromkeys(("botprofile", "emotion", "humor"), "smalltalk"),
    **dict.fromkeys(("trivia", "money", "science", "movies", "sports", "gossip", "food", "computers"), "out_of_scope"),
}
_IN_FIELD = re.compile(
    r"philosoph|plato|aristot|socra|ethic|moral|virtue|soul|justice|\bgods?\b|religio|theolog|truth|meaning of|wisdom|tyran|democra|slave|greek|gree[ck]e|"
    r"athen|univers|knowledge|belief|death|happiness|friendship|logic|civil|force|motion|matter|oxygen|immun",
    re.IGNORECASE,
)
"""Rows of general question sets that hold one of these are left out: a philosopher might well be asked them."""
_MOST = {"banking77": 1200, "clinc150": 5000, "chitchat": 4000, "xquad": 600, "adversarial_qa": 500}
"""How many rows of one label a source may bring, so that none drowns the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One labelled message. Rows of one `group` share their content words and belong on one side of a split."""

    text: str
    label: str
    source: str
    group: str


def rows(data: Path) -> list[Row]:
    """Every row, in a fixed order, no text twice."""
    found: dict[str, Row] = {}
    for source, label, text in _all(data):
        key = " ".join(re.findall(r"\w+", text.lower()))
        if key and key not in found:
            stems = sorted({word.stem for word in words(text) if word.content})
            found[key] = Row(text=text, label=label, source=source, group=" ".join(stems) or key)
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Everyday:
    """One question in everyday words."""

    text: str
    persona: str
    passage: str

    @property
    def for_gate(self) -> bool:
        """Half of the passages' questions teach the intent head, the other half the abstention gate, which reads the head's word."""
        return hashlib.sha256(self.passage.encode()).digest()[0] % 2 == 0


def everyday() -> list[Everyday]:
    """The questions in `library_questions.jsonl`, in their order."""
    return [Everyday(**row) for row in _jsonl(EVERYDAY)]


def _all(data: Path) -> Iterator[tuple[str, str, str]]:
    yield from (("own", row["label"], row["text"]) for row in _jsonl(OWN))
    yield from (("own", "question", question.text) for question in everyday() if not question.for_gate)
    yield from (("library", "question", text) for path in sorted(LIBRARY.glob("*/*.jsonl")) for text in from_titles(path))
    chat = [(_CHITCHAT.get(row["intent_id"], "smalltalk"), row["text"]) for row in _jsonl(data / "chitchat" / "personality_chat.jsonl")]
    yield from _some("chitchat", chat)
    clinc = _jsonl(data / "clinc150" / "train.jsonl")
    yield from _some("clinc150", [(_CLINC.get(row["intent"], "out_of_scope"), row["text"]) for row in clinc])
    chatterbot = _jsonl(data / "chatterbot_corpus" / "chatterbot_english.jsonl")
    yield from _some("chatterbot", [(_CHATTERBOT.get(row["category"]), row["turns"][0]) for row in chatterbot])
    with (data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as lines:
        yield from _some("banking77", [("out_of_scope", row["text"]) for row in csv.DictReader(lines)])
    tasks = [row for name in ("seed_tasks.jsonl", "user_oriented_instructions.jsonl") for row in _jsonl(data / "self_instruct" / name)]
    yield from _some("self_instruct", [("out_of_scope", row["instruction"]) for row in tasks])
    xquad = [row for row in _jsonl(data / "xquad" / "xquad_en.jsonl") if row["article"] != "Civil_disobedience"]
    yield from _some("xquad", [("out_of_scope", row["question"]) for row in xquad])
    asked = [row for row in _jsonl(data / "adversarial_qa" / "adversarial_qa_sample.jsonl") if not _IN_FIELD.search(row["context"][:4000])]
    yield from _some("adversarial_qa", [("out_of_scope", row["question"]) for row in asked if len(row["question"].split()) > 4])


def _some(source: str, labelled: list[tuple[str | None, str]]) -> Iterator[tuple[str, str, str]]:
    """At most `_MOST` rows of each label, drawn at random with a fixed seed."""
    taken: Counter[str] = Counter()
    random.Random(source).shuffle(labelled)
    for label, text in labelled:
        if label is None or (label == "out_of_scope" and _IN_FIELD.search(text)) or taken[label] >= _MOST.get(source, len(labelled)):
            continue
        taken[label] += 1
        yield source, label, text


def from_titles(path: Path) -> Iterator[str]:
    """Questions made of the titles in one file of the built-in library, two a title where it is no question itself."""
    pick = random.Random(path.stem)
    for row in _jsonl(path):
        title = row["title"]
        if title.lower().startswith(("what ", "how ", "why ", "whether ")):
            yield f"{title.rstrip('?')}?"
            continue
        if title.split()[0] in {"The", "A", "An"}:
            title = title[0].lower() + title[1:]
        yield from (pattern.format(title) for pattern in pick.sample(_PATTERNS, 2))


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
