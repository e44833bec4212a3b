"""What the default chat takes for a courtesy: greetings, thanks, farewells and small talk in many languages, and messages that only begin like one.

    python -m benchmarks.courtesy [--missed]

Rows (`benchmarks/courtesy.jsonl`) hold `text`, `language` (ISO 639), `courtesy` (whether nothing else is said) and `half`; no word was added for what was
missed of `reported`. Their author also wrote the vocabulary, so the shares of courtesies are upper bounds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from guardrail import Guardrail
from guardrail.figures import wilson
from guardrail.types import Smalltalk

ROWS = Path(__file__).with_name("courtesy.jsonl")


def main() -> None:
    """Ask every row and print the shares with 95 % intervals (Wilson)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missed", action="store_true", help="print the rows of the half `tuned` that came out wrong")
    missed = parser.parse_args().missed
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    guard = Guardrail.default()
    try:
        taken = [isinstance(guard.ask(row["text"], persona="plato"), Smalltalk) for row in rows]
    finally:
        guard.close()
    for courtesy in (True, False):
        for half in ("tuned", "reported"):
            for english in (True, False):
                chosen = [
                    (row, one)
                    for row, one in zip(rows, taken, strict=True)
                    if row["courtesy"] is courtesy and row["half"] == half and (row["language"] == "en") is english
                ]
                hits, total = sum(one for _, one in chosen), len(chosen)
                low, high = wilson(hits, total)
                name = f"{'courtesies' if courtesy else 'others'}, {'English' if english else 'other languages'}, {half}"
                print(f"{name:<44}taken for a courtesy {hits}/{total} = {hits / total:.3f} [{low:.3f}, {high:.3f}]", flush=True)
                if missed and half == "tuned":
                    print(*(f"    {row['text']}" for row, one in chosen if one is not courtesy), sep="\n")


if __name__ == "__main__":
    main()
