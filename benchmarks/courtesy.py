"""What the default chat takes for a courtesy: greetings, thanks, farewells and small talk in many languages, and messages that only begin like one.

    python -m benchmarks.courtesy [--missed]

Rows (`benchmarks/courtesy.jsonl`) hold `text`, `language` (ISO 639), `courtesy` (whether nothing else is said) and `half`; no word was added for what was
missed of `reported`. Their author also wrote the vocabulary, so the shares of courtesies are upper bounds. `benchmarks/greetings.jsonl` has first messages of
visitors by an author who knew neither code nor vocabulary: `greeting` is whether nothing else is said.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from guardrail import Guardrail
from guardrail.figures import wilson
from guardrail.types import Smalltalk

ROWS = Path(__file__).with_name("courtesy.jsonl")
GREETINGS = Path(__file__).with_name("greetings.jsonl")


def main() -> None:
    """Ask every row and print the shares with 95 % intervals (Wilson)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missed", action="store_true", help="print the rows of the half `tuned` that came out wrong")
    missed = parser.parse_args().missed
    asked = [*_own(), *_blind()]
    with closing(Guardrail.default()) as guard:
        taken = [isinstance(guard.ask(row.text, persona=row.persona), Smalltalk) for row in asked]
    for group, half in dict.fromkeys((row.group, row.half) for row in asked):
        chosen = [(row, one) for row, one in zip(asked, taken, strict=True) if (row.group, row.half) == (group, half)]
        hits, total = sum(one for _, one in chosen), len(chosen)
        low, high = wilson(hits, total)
        print(f"{f'{group}, {half}':<52}taken for a courtesy {hits}/{total} = {hits / total:.3f} [{low:.3f}, {high:.3f}]", flush=True)
        if missed and half == "tuned":
            print(*(f"    {row.text}" for row, one in chosen if one is not row.courtesy), sep="\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One message, and whether it is a courtesy and nothing else."""

    text: str
    persona: str
    courtesy: bool
    group: str
    half: str


def _own() -> list[Asked]:
    found = []
    for row in map(json.loads, ROWS.read_text(encoding="utf-8").splitlines()):
        group = f"{'courtesies' if row['courtesy'] else 'others'}, {'English' if row['language'] == 'en' else 'other languages'}"
        found.append(Asked(text=row["text"], persona="plato", courtesy=row["courtesy"], group=group, half=row["half"]))
    return sorted(found, key=lambda row: (not row.courtesy, row.half != "tuned", "English" not in row.group))


def _blind() -> list[Asked]:
    rows = [json.loads(line) for line in GREETINGS.read_text(encoding="utf-8").splitlines()]
    kinds = {True: "greetings by a blind author", False: "others by a blind author"}
    found = [Asked(text=row["text"], persona=row["persona"], courtesy=row["greeting"], group=kinds[row["greeting"]], half=row["half"]) for row in rows]
    return sorted(found, key=lambda row: (not row.courtesy, row.half != "tuned"))


if __name__ == "__main__":
    main()
