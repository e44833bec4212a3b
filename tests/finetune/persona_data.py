"""The open data sets that the persona recipe reads, small and made up."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.finetune.small_run import write_lines

_PLACES = "harbour orchard lantern bridge meadow quarry vineyard granary".split()
_TRADES = "miller sailor potter weaver mason shepherd".split()


def sentences(start: int, count: int) -> list[str]:
    """Each of another pair of words, and with words of three letters that mean something."""
    return [
        f"The {_PLACES[number % 8]} of “the {_TRADES[number // 8 % 6]}” is kept by law and oak number {number} [sic]." for number in range(start, start + count)
    ]


def write(folder: Path) -> Path:
    """`folder`, with `philosophy`, `adversarial_qa` and `halueval`."""
    (folder / "philosophy").mkdir()
    with (folder / "philosophy" / "catalogue.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("file", "author", "title"), ("a.txt", "Plato", "The Harbour"), ("b.txt", "Aristotle", "Trades")])
    (folder / "philosophy" / "a.txt").write_text("\n".join(sentences(0, 60)))
    (folder / "philosophy" / "b.txt").write_text(" ".join(sentences(60, 60)) + f" {'endless ' * 80}.")
    write_lines(
        folder / "adversarial_qa" / "adversarial_qa_sample.jsonl",
        [{"context": " ".join(sentences(200, 3)), "question": question} for question in ("Who?", "What?", "Who?")],
    )
    write_lines(folder / "halueval" / "qa.jsonl", [{"knowledge": "A bridge stood here.It fell.", "question": "What fell?"}])
    return folder
