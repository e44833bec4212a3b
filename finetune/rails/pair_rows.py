"""Questions with passages that answer them and passages that do not, for the reader of both together.

The built-in library's own questions with their passages, and with others that search brings for them; questions written to lie near a passage that does not
answer them (`near_questions.jsonl`, kind `near`), with that passage and with what search brings, and look-alikes that it does answer (`twin`); a few
hundred questions of AdversarialQA with their paragraph and with the nearest other one.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from guardrail.finetune.rails.intent_data import LIBRARY
from guardrail.finetune.rails.safety_data import share
from guardrail.index.builtin import ensure
from guardrail.index.pair_reader import as_read
from guardrail.index.retriever import LibraryRetriever
from guardrail.protocols import Query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.index.encoder import MiniLM
    from guardrail.types import Encoding

NEAR = Path(__file__).with_name("near_questions.jsonl")
"""Lines of {"persona", "kind", "text", "passage"}."""
PERSONAS = ("plato", "aristotle")
WEIGHTS = {"own": 1.0, "other": 0.6, "twin": 2.0, "near": 1.5, "paragraph": 0.7}
"""What a pair counts. Those of `other` are not looked through: now and then one does answer."""
SAME = 0.72
"""A passage one of whose own questions has this cosine with a question may well answer it, and is no `other` passage for it."""
SECOND = 0.35
"""Share of the library's questions that are shown two other passages."""
HITS = 3
"""Of what search brings for a near question, the first so many."""
PARAGRAPHS = 0.6
"""Share of AdversarialQA's paragraphs that is trained on, by hash; `answerable_libraries` tunes and reports on the others."""

Part = Literal["read", "gate", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question and a passage as they are read."""

    question: str
    passage: str
    answered: bool
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A question close to a passage, which answers it (`answered`) or does not."""

    text: str
    persona: str
    passage: str
    """The passage's id."""
    answered: bool

    @property
    def part(self) -> Part:
        """The reader learns from `read` (65 %), the abstention gate from `gate` (20 %); `report` is kept from both. All questions of a passage are in one."""
        place = share(f"near{self.passage}")
        return "read" if place < 0.65 else "gate" if place < 0.85 else "report"


def near() -> list[Near]:
    """The questions in NEAR, in their order."""
    return [Near(text=row["text"], persona=row["persona"], passage=row["passage"], answered=row["kind"] == "twin") for row in _rows(NEAR)]


def pairs(data: Path, encoder: MiniLM) -> list[Pair]:
    """All pairs, in a fixed order. `data` holds adversarial_qa."""
    pick = random.Random(0)
    library = {row["id"]: row for persona in PERSONAS for path in sorted((LIBRARY / persona).glob("*.jsonl")) for row in _rows(path)}
    with LibraryRetriever(ensure(encoder), encoder) as retriever:
        return [*_of_library(library, encoder, retriever, pick), *_of_near(library, encoder, retriever), *_of_paragraphs(data, encoder, pick)]


def _of_library(library: dict[str, dict[str, Any]], encoder: MiniLM, retriever: LibraryRetriever, pick: random.Random) -> Iterator[Pair]:
    asked = [(question, row) for row in library.values() for question in row["questions"]]
    encodings: list[Encoding] = []
    for first in range(0, len(asked), 64):
        encodings += encoder.encode([question for question, _ in asked[first : first + 64]])
    own: dict[str, list[Encoding]] = {}
    for (_, row), encoding in zip(asked, encodings, strict=True):
        own.setdefault(row["id"], []).append(encoding)
    nearest = {name: np.stack([encoding.vector for encoding in found]) for name, found in own.items()}
    for (question, row), encoding in zip(asked, encodings, strict=True):
        yield _pair(question, row, "own", answered=True)
        found = _found(retriever, encoding, row["persona"])
        others = [name for name in found if name != row["id"] and float((nearest[name] @ encoding.vector).max()) < SAME]
        chosen = others[:1] + ([pick.choice(others[1:])] if len(others) > 1 and pick.random() < SECOND else [])
        yield from (_pair(question, library[name], "other", answered=False) for name in chosen)


def _of_near(library: dict[str, dict[str, Any]], encoder: MiniLM, retriever: LibraryRetriever) -> Iterator[Pair]:
    for asked in near():
        if asked.part != "read":
            continue
        if asked.answered:
            yield _pair(asked.text, library[asked.passage], "twin", answered=True)
            continue
        found = _found(retriever, encoder.encode((asked.text,))[0], asked.persona)
        yield from (_pair(asked.text, library[name], "near", answered=False) for name in dict.fromkeys([asked.passage, *found[:HITS]]))


def _of_paragraphs(data: Path, encoder: MiniLM, pick: random.Random) -> Iterator[Pair]:
    rows = list(_rows(data / "adversarial_qa" / "adversarial_qa_sample.jsonl"))
    texts = sorted({row["context"] for row in rows})
    vectors = np.stack([encoding.vector for first in range(0, len(texts), 32) for encoding in encoder.encode(texts[first : first + 32])])
    pick.shuffle(rows)
    for row in rows:
        if share(row["context"]) < PARAGRAPHS:
            yield Pair(question=row["question"], passage=row["context"], answered=True, kind="paragraph")
            order = np.argsort(-(vectors @ encoder.encode((row["question"],))[0].vector))
            other = next(texts[place] for place in order if texts[place] != row["context"])
            yield Pair(question=row["question"], passage=other, answered=False, kind="paragraph")


def _found(retriever: LibraryRetriever, encoding: Encoding, persona: str) -> list[str]:
    return [hit.passage.source_id for hit in retriever.search(Query(encoding=encoding, persona=persona))]


def _pair(question: str, row: dict[str, Any], kind: str, *, answered: bool) -> Pair:
    return Pair(question=question, passage=as_read(row["title"], row["text"]), answered=answered, kind=kind)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
