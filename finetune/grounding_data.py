"""Claims with passages and whether these support them: from public sets, and from the built-in library."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from guardrail.rails.support import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardrail.protocols import Encoder
    from guardrail.types import Encoding

LIBRARY = Path(__file__).parent.parent / "index" / "library"
CLAIMS = Path(__file__).with_name("grounding_claims.jsonl")
LICENCES = {
    "wice": "annotations ODC-BY; Wikipedia CC BY-SA, cited pages Common Crawl terms",
    "faithdial": "MIT (dialogues CC BY 4.0, CDLA-Sharing-1.0)",
    "fever": "CC BY-SA 3.0",
    "halueval": "MIT (HotpotQA text CC BY-SA 4.0)",
    "library": "Apache-2.0 (written for this project)",
}
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

    @property
    def held_out(self) -> bool:
        """40 % of the groups, by their hash, are kept out of fitting."""
        return int.from_bytes(hashlib.sha256(f"{self.source}{self.group}".encode()).digest()[:4], "big") / 2**32 >= 0.6


def pairs(data: Path) -> list[Pair]:
    """The public sets. WiCE counts partial support as none; FaithDial rows that state nothing are left out."""
    found = [
        _pair("wice", row["meta"]["id"], row["claim"], row["evidence"], row["label"] == "supported")
        for row in _jsonl(data / "wice" / "claims_oracle_chunks_dev.jsonl")
    ]
    found += [
        _pair("faithdial", row["knowledge"], row["response"], _SENTENCE_END.split(row["knowledge"]), row["grounded"])
        for row in _jsonl(data / "faithdial_audit" / "faithdial_audit.jsonl")
        if row["grounded"] is not None
    ]
    found += [
        _pair("fever", row["id"], row["claim"], [row["evidence"]], row["label"] == "SUPPORTS")
        for row in _jsonl(data / "fever_symmetric" / "fever_symmetric_dev.jsonl")
    ]
    for row in _jsonl(data / "halueval" / "qa.jsonl"):
        knowledge = _SENTENCE_END.split(row["knowledge"])
        found.append(_pair("halueval", row["question"], row["right_answer"], knowledge, supported=True))
        found.append(_pair("halueval", row["question"], row["hallucinated_answer"], knowledge, supported=False))
    return found


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
        found.append(Pair(source="library", group=claim["passage"], claim=claim["claim"], passages=passages, supported=claim["supported"]))
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
