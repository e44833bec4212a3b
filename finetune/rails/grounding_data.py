"""Claims with passages and whether these support them: from public sets, and from the built-in library."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from guardrail.rails.support import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardrail.protocols import Encoder
    from guardrail.types import Encoding

LIBRARY = Path(__file__).parents[2] / "index" / "library"
CLAIMS = Path(__file__).with_name("grounding_claims.jsonl")
LICENCES = {
    "wice": "annotations ODC-BY; Wikipedia CC BY-SA, cited pages Common Crawl terms",
    "faithdial": "MIT (dialogues CC BY 4.0, CDLA-Sharing-1.0)",
    "fever": "CC BY-SA 3.0",
    "halueval": "MIT (HotpotQA text CC BY-SA 4.0)",
    "library": "Apache-2.0 (written for this project)",
}
Part = Literal["fit", "test"]
"""`fit`: the weights are fitted on it; `test`: measured, never fitted or chosen on."""
_PASSAGE_WORDS = 110
_NEAREST = 5
_SENTENCE_END = re.compile(r"(?<=[.!?])\s*(?=[A-Z])")
BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One claim, the passages it is held against, and whether they support all of it."""

    source: str
    group: str
    claim: str
    passages: tuple[str, ...]
    supported: bool
    kind: str = ""
    """Of claims about the library: `paraphrase`, `swap` (roles exchanged), `antonym`, or `mixed`."""
    declared: Part | None = None
    """Of claims about the library: which part they were written for."""

    @property
    def part(self) -> Part:
        """Who may use the row, by the hash of its group: 40 % of the groups only the report, 60 % those who fit."""
        if self.declared is not None:
            return self.declared
        share = int.from_bytes(hashlib.sha256(f"{self.source}{self.group}".encode()).digest()[:4], "big") / 2**32
        return "test" if share >= 0.6 else "fit"


def pairs(data: Path) -> list[Pair]:
    """The public sets. WiCE counts partial support as none; FaithDial rows that state nothing are left out."""
    found = list(_wice(data))
    found += [
        _pair("faithdial", row["knowledge"], row["response"], _SENTENCE_END.split(row["knowledge"]), row["grounded"])
        for row in _jsonl(data / "faithdial_audit" / "faithdial_audit.jsonl")
        if row["grounded"] is not None
    ]
    found += _fever(data)
    seen = set()
    for row in _jsonl(data / "halueval" / "qa.jsonl"):
        knowledge = _SENTENCE_END.split(row["knowledge"])
        for answer, supported in ((row["right_answer"], True), (row["hallucinated_answer"], False)):
            if (row["question"], answer) not in seen:  # the right answer comes with both variants
                seen.add((row["question"], answer))
                found.append(_pair("halueval", row["question"], answer, knowledge, supported=supported))
    return found


def _wice(data: Path) -> Iterator[Pair]:
    """Each claim once, against all the sentences of its cited page that the set gives: the union of its chunks, in the order of the page."""
    claims: dict[str, list[dict[str, Any]]] = {}
    for row in _jsonl(data / "wice" / "claims_oracle_chunks_dev.jsonl"):
        claims.setdefault(row["meta"]["id"], []).append(row)
    for name, rows in claims.items():
        sentences = {place: text for row in rows for place, text in zip(row["meta"]["chunk_idx"], row["evidence"], strict=True)}
        evidence = [sentences[place] for place in sorted(sentences)]
        yield _pair("wice", name, rows[0]["claim"], evidence, rows[0]["label"] == "supported")


def _fever(data: Path) -> list[Pair]:
    """Claims and evidence of the symmetric set; what shares a claim or a piece of evidence is one group."""
    rows = list(_jsonl(data / "fever_symmetric" / "fever_symmetric_dev.jsonl"))
    leader: dict[str, str] = {}

    def first(text: str) -> str:
        while leader.setdefault(text, text) != text:
            text = leader[text]
        return text

    for row in rows:
        leader[first(row["claim"])] = first(row["evidence"])
    return [_pair("fever", first(row["claim"]), row["claim"], [row["evidence"]], row["label"] == "SUPPORTS") for row in rows]


def library_pairs(encoder: Encoder) -> list[Pair]:
    """Claims about the field, written by hand (`grounding_claims.jsonl`), each held against its passage and the four nearest others of the persona."""
    rows = [row for path in sorted(LIBRARY.glob("*/*.jsonl")) for row in _jsonl(path)]
    places = {row["id"]: place for place, row in enumerate(rows)}
    vectors = np.stack([encoding.vector for encoding in encode(encoder, [row["text"] for row in rows]).values()])
    found = []
    for claim in _jsonl(CLAIMS):
        place = places[claim["passage"]]
        near = [int(other) for other in np.argsort(-(vectors @ vectors[place])) if rows[other]["persona"] == rows[place]["persona"]][:_NEAREST]
        passages = tuple(rows[other]["text"] for other in near)
        found.append(
            Pair(
                source="library",
                group=claim["passage"],
                claim=claim["claim"],
                passages=passages,
                supported=claim["supported"],
                kind=claim["kind"],
                declared=claim["part"],
            )
        )
    return found


def encode(encoder: Encoder, texts: Sequence[str]) -> dict[str, Encoding]:
    """Each text once, in order, with its encoding."""
    distinct = list(dict.fromkeys(texts))
    found: dict[str, Encoding] = {}
    for start in range(0, len(distinct), BATCH):
        batch = distinct[start : start + BATCH]
        found.update(zip(batch, encoder.encode(batch), strict=True))
    return found


def sources(encodings: dict[str, Encoding], pair: Pair) -> list[Source]:
    """The pair's passages as the measure reads them."""
    return [Source(text=text, tokens=encodings[text].tokens, places=[(int(a), int(b)) for a, b in encodings[text].spans]) for text in pair.passages]


def _pair(source: str, group: str, claim: str, sentences: list[str], supported: bool) -> Pair:
    passages: list[list[str]] = [[]]
    for sentence in sentences:
        if sum(len(part.split()) for part in passages[-1]) >= _PASSAGE_WORDS:
            passages.append([])
        passages[-1].append(sentence)
    return Pair(source=source, group=group, claim=claim, passages=tuple(" ".join(parts) for parts in passages), supported=supported)


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
