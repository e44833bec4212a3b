"""Count in how many stretches of prose each word stem stands: the rarity that the rails weigh words by.

    python -m guardrail.finetune.rails.lexicon --data ../shared/data --out guardrail/rails/lexicon.json

Reads the public-domain works in `philosophy`, and Wikipedia paragraphs of `retrieval_wiki`, `wice` and `faithdial_audit`; only counts are kept.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.rails.words import stem

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+")
_STRETCH = 120
"""Words in one document."""
_LEAST = 3
"""Stems in fewer documents are left out: they count as never seen."""


def build(data: Path) -> dict[str, object]:
    """`counts`: stem to number of documents; `common`: stems that are mostly written in lower case; `documents`: how many there were."""
    counts: Counter[str] = Counter()
    lower: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    documents = 0
    for text in _texts(data):
        found = [match.group() for match in _WORD.finditer(text)]
        for start in range(0, len(found), _STRETCH):
            documents += 1
            counts.update({stem(word.lower()) for word in found[start : start + _STRETCH]})
        for word in found:
            (lower if word.islower() else capital)[stem(word.lower())] += 1
    kept = {root: count for root, count in sorted(counts.items()) if count >= _LEAST and not root.isdigit()}
    common = sorted(root for root in kept if lower[root] >= max(2, capital[root] / 4))
    return {"documents": documents, "counts": kept, "common": common}


def _texts(data: Path) -> Iterator[str]:
    for path in sorted((data / "philosophy").glob("*/*.txt")):
        yield path.read_text(encoding="utf-8")
    for row in _rows(data / "retrieval_wiki" / "corpus.jsonl"):
        yield row["text"]
    seen: set[str] = set()
    for row in _rows(data / "wice" / "claims_oracle_chunks_dev.jsonl"):
        text = " ".join(row["evidence"])
        if text not in seen:
            seen.add(text)
            yield text
    for row in _rows(data / "faithdial_audit" / "faithdial_audit.jsonl"):
        if row["knowledge"] not in seen:
            seen.add(row["knowledge"])
            yield row["knowledge"]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table = build(arguments.data)
    arguments.out.write_text(json.dumps(table, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
