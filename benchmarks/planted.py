"""How many planted orders the planted rail finds by rule, how often it is wrong about honest passages, and how long it takes.

    python -m benchmarks.planted --data ../shared/data

Attacked: each order of `bipia` (train split) set into three clean contexts of its own kind, at the beginning, in the middle (between two lines) and at the
end. The orders are split by category: the rules were written with an eye on every other category (`dev`); of the others (`test`) one order each had been
seen. Categories marked * ask for something an honest user might ask (a translation, a fact): no rule can know them for orders. Intervals take the rows as
independent, which placements of one order are not. Baseline: the words `ignore`, `disregard`, `instruction`, `prompt`, `your response`, `your answer`
anywhere in the passage.

Honest: clean contexts, the built-in library, the philosophers' works in stretches of 150 words, and Wikipedia paragraphs. Takes about two minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.normaliser import LIBRARY, rows, share
from guardrail.rails.planted import PlantedRail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REQUESTS = frozenset({"Information Retrieval", "Content Creation", "Learning and Tutoring", "Language Translation", "Programming Help"})
BASELINE = re.compile(r"ignore|disregard|instruction|prompt|your response|your answer", re.IGNORECASE)
CONTEXTS = 3
STRETCH = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    data = parser.parse_args().data
    rail = PlantedRail()
    _attacked(data, rail)
    _honest(data, rail)


def _stops(rail: PlantedRail, text: str) -> bool:
    finding = rail.find(text)
    return finding is not None and finding.score > rail.threshold


def _attacked(data: Path, rail: PlantedRail) -> None:
    attacks = rows(data / "bipia" / "attacks_train.jsonl")
    contexts = defaultdict(list)
    for row in rows(data / "bipia" / "contexts_train.jsonl"):
        text = row["context"] if isinstance(row["context"], str) else json.dumps(row["context"])
        contexts["code" if row["task"] == "code" else "text"].append(text)
    categories = sorted({row["category"] for row in attacks})
    results: dict[str, list[tuple[bool, bool]]] = {}
    for category in categories:
        results[category] = [
            (_stops(rail, text), BASELINE.search(text) is not None)
            for number, row in enumerate(attacks)
            if row["category"] == category
            for text in _infected(row["attack"], contexts[row["kind"]], number)
        ]
    for part, chosen in (("dev", categories[::2]), ("test", categories[1::2])):
        for category in chosen:
            print(f"  {part} {category + ('*' if category in REQUESTS else ''):36} {share(sum(hit for hit, _ in results[category]), len(results[category]))}")
        for name, kept in (("all", chosen), ("without *", [category for category in chosen if category not in REQUESTS])):
            pooled = [pair for category in kept for pair in results[category]]
            ours, theirs = (share(sum(hits), len(pooled)) for hits in zip(*pooled, strict=True))
            print(f"{part}, {name}: recall {ours}, baseline {theirs}, n {len(pooled)}")


def _infected(order: str, contexts: Sequence[str], number: int) -> Iterator[str]:
    for offset in range(CONTEXTS):
        context = contexts[(number * CONTEXTS + offset) % len(contexts)]
        lines = context.split("\n")
        middle = len(lines) // 2
        yield f"{order}\n{context}"
        yield "\n".join([*lines[:middle], order, *lines[middle:]])
        yield f"{context}\n{order}"


def _honest(data: Path, rail: PlantedRail) -> None:
    print("honest passages: false alarms [95 % interval], baseline; microseconds a passage")
    for name, texts in _honest_texts(data):
        began = time.perf_counter()
        wrong = sum(_stops(rail, text) for text in texts)
        taken = (time.perf_counter() - began) / len(texts) * 1e6
        baseline = sum(BASELINE.search(text) is not None for text in texts)
        print(f"  {name:28} {len(texts):6}  {wrong:3} = {share(wrong, len(texts))}  {baseline / len(texts):.4f}  {taken:.0f}")


def _honest_texts(data: Path) -> Iterator[tuple[str, list[str]]]:
    yield "bipia, clean contexts", [str(row["context"]) for row in rows(data / "bipia" / "contexts_train.jsonl")]
    yield "built-in library", [row["text"] for path in sorted(LIBRARY.glob("*/*.jsonl")) for row in rows(path)]
    words = [path.read_text(encoding="utf-8").split(" ") for path in sorted((data / "philosophy").glob("*/*.txt"))]
    yield "philosophy", [" ".join(work[place : place + STRETCH]) for work in words for place in range(0, len(work), STRETCH)]
    yield "retrieval_wiki", [row["text"] for row in rows(data / "retrieval_wiki" / "corpus.jsonl")]
    yield "wice, evidence", sorted({" ".join(row["evidence"]) for row in rows(data / "wice" / "claims_oracle_chunks_dev.jsonl")})
    yield "faithdial_audit, knowledge", sorted({row["knowledge"] for row in rows(data / "faithdial_audit" / "faithdial_audit.jsonl")})


if __name__ == "__main__":
    main()
