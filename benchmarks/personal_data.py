"""How well the personal_data rail finds personal data, how often it is wrong about texts without any, and how long it takes.

    python -m benchmarks.personal_data --data ../shared/data [--part dev|test|all]

Prints for each kind precision, recall and F1 on `presidio_pii` with exact spans, and a 95 % interval of F1 (1,000 bootstrap samples of sentences), beside a
baseline of plain regular expressions without checksums. The sentences are split by template: the patterns were written with an eye on `dev` only. Then the
same for bank account numbers in rows of our own (`benchmarks.iban_rows`), since the set has none in `test`. Then the findings a million words in texts
without personal data: the philosophers' works, the built-in library and two sets of questions. Takes about a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import json
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import iban_rows
from guardrail.protocols import Screening
from guardrail.rails.personal_data import DEFAULT_KINDS, KINDS, PersonalDataRail, find
from guardrail.types import Message, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LABELS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "payment_card",
    "IBAN_CODE": "iban",
    "US_SSN": "us_ssn",
    "IP_ADDRESS": "ip_address",
}
BASELINE = {
    "email": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    "phone": re.compile(r"\+?\(?\d{1,4}\)?(?:[ .-]?\(?\d{2,4}\)?){2,4}"),
    "payment_card": re.compile(r"\b(?:\d[ -]?){13,16}\b"),
    "iban": re.compile(r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b"),
    "us_ssn": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "ip_address": re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
}
LIBRARY = Path(__file__).parent.parent / "index" / "library"

Span = tuple[str, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--part", choices=("dev", "test", "all"), default="all", help="which sentences, by template (default all)")
    parser.add_argument("--misses", action="store_true", help="print what was missed or found wrongly, on dev only")
    arguments = parser.parse_args()
    parts = ("dev", "test", "all") if arguments.part == "all" else (arguments.part,)
    rows = [json.loads(line) for line in (arguments.data / "presidio_pii" / "presidio_synth.jsonl").open(encoding="utf-8")]
    for part in parts:
        chosen = [row for row in rows if part in ("all", part_of(row["template_id"]))]
        print(f"## {part}: {len(chosen)} sentences, {len({row['template_id'] for row in chosen})} templates")
        print(f"{'kind':14}{'n':>5}{'precision':>11}{'recall':>8}{'F1':>7}  95 % interval   F1 of plain expressions")
        ours = [(gold(row), spans(row["text"])) for row in chosen]
        plain = [(gold(row), plain_spans(row["text"])) for row in chosen]
        for kind in dict.fromkeys(LABELS.values()):
            count = sum(span[0] == kind for truth, _ in ours for span in truth)
            if not count and not any(span[0] == kind for _, found in ours for span in found):
                continue
            precision, recall, f1 = scores(ours, kind)
            low, high = interval(ours, kind)
            print(f"{kind:14}{count:5}{precision:11.3f}{recall:8.3f}{f1:7.3f}  {low:.3f} to {high:.3f}  {scores(plain, kind)[2]:.3f}")
        others = Counter(span[0] for truth, found in ours for span in found - truth if span[0] not in LABELS.values())
        print(f"found of kinds that the set does not label: {dict(others)}\n")
        if arguments.misses and part == "dev":
            for row, (truth, found) in zip(chosen, ours, strict=True):
                for name, some in (("missed", truth - found), ("wrong", found - truth)):
                    for kind, start, end in sorted(some):
                        print(f"{name:7}{kind:14}{row['text'][max(0, start - 20) : start]!r} {row['text'][start:end]!r} {row['text'][end : end + 10]!r}")

    for part in parts:
        report_ibans(part)

    print("## Findings in texts without personal data")
    for name, texts in benign(arguments.data):
        words = found_here = 0
        kinds: Counter[str] = Counter()
        for text in texts:
            words += len(text.split())
            for finding in find(text):
                kinds[finding.type] += 1
                found_here += finding.type in DEFAULT_KINDS
                if arguments.misses:
                    print(repr(text[max(0, finding.start - 30) : finding.end + 10]))
        print(f"{name:15}{words:9} words: {found_here / words * 1e6:6.1f} a million words; by kind (ip_address is off by default): {dict(kinds)}")

    rail = PersonalDataRail("input")
    messages = [text for name, texts in benign(arguments.data) if name in ("clinc150", "banking77") for text in texts] + [row["text"] for row in rows]
    times = asyncio.run(timings(rail, messages))
    print(f"\none message: p50 {times[len(times) // 2]:.1f} us, p95 {times[len(times) * 95 // 100]:.1f} us, longest {times[-1]:.0f} us ({len(times)} messages)")


def report_ibans(part: str) -> None:
    """Print the figures of our own bank account numbers, form by form."""
    made = tuple(iban_rows.rows(part))
    print(f"## IBANs in rows of our own, {part}: {len(made)} rows, a third of them broken; {len({row.country for row in made})} countries")
    print(f"{'form':16}{'n':>5}{'precision':>11}{'recall':>8}{'F1':>7}  F1 of plain expressions")
    for form in (*dict.fromkeys(row.form for row in made), "all forms"):
        some = [row for row in made if form in (row.form, "all forms")]
        truth = [frozenset({("iban", *row.span)} if row.span else ()) for row in some]
        ours = [(there, spans(row.text)) for there, row in zip(truth, some, strict=True)]
        plain = [(there, plain_spans(row.text)) for there, row in zip(truth, some, strict=True)]
        precision, recall, f1 = scores(ours, "iban")
        print(f"{form:16}{sum(map(len, truth)):5}{precision:11.3f}{recall:8.3f}{f1:7.3f}  {scores(plain, 'iban')[2]:.3f}")
    print()


def part_of(template: int) -> str:
    """Which part a template belongs to: half of them each, by SHA-256."""
    return "dev" if hashlib.sha256(f"presidio-{template}".encode()).digest()[0] % 2 == 0 else "test"


def gold(row: dict[str, list[dict[str, str | int]]]) -> frozenset[Span]:
    return frozenset((LABELS[str(span["type"])], int(span["start"]), int(span["end"])) for span in row["spans"] if span["type"] in LABELS)


def spans(text: str) -> frozenset[Span]:
    return frozenset((finding.type, finding.start, finding.end) for finding in find(text, kinds=KINDS))


def plain_spans(text: str) -> frozenset[Span]:
    return frozenset((kind, match.start(), match.end()) for kind, pattern in BASELINE.items() for match in pattern.finditer(text))


def scores(pairs: Sequence[tuple[frozenset[Span], frozenset[Span]]], kind: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of one kind; a span counts if start and end are exact."""
    right = sum(span[0] == kind for truth, found in pairs for span in truth & found)
    there = sum(span[0] == kind for truth, _ in pairs for span in truth)
    said = sum(span[0] == kind for _, found in pairs for span in found)
    return right / said if said else 0.0, right / there if there else 0.0, 2 * right / (there + said) if there + said else 0.0


def interval(pairs: Sequence[tuple[frozenset[Span], frozenset[Span]]], kind: str, samples: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of F1 over sentences."""
    counts = [(sum(s[0] == kind for s in truth & found), sum(s[0] == kind for s in truth) + sum(s[0] == kind for s in found)) for truth, found in pairs]
    told = [pair for pair in counts if pair[1]]
    dice = random.Random(0)
    drawn = []
    for _ in range(samples):
        # Sentences without the kind add nothing to either sum, so only the number of the others is drawn.
        size = sum(dice.random() < len(told) / len(counts) for _ in range(len(counts)))
        sample = dice.choices(told, k=max(size, 1))
        drawn.append(2 * sum(right for right, _ in sample) / sum(total for _, total in sample))
    drawn.sort()
    return drawn[samples * 25 // 1000], drawn[samples * 975 // 1000]


def benign(data: Path) -> Iterator[tuple[str, list[str]]]:
    yield "philosophy", [path.read_text(encoding="utf-8") for path in sorted((data / "philosophy").rglob("*.txt"))]
    yield "library", [" ".join(map(str, json.loads(line).values())) for path in sorted(LIBRARY.rglob("*.jsonl")) for line in path.open(encoding="utf-8")]
    yield "clinc150", [json.loads(line)["text"] for name in ("train", "val") for line in (data / "clinc150" / f"{name}.jsonl").open(encoding="utf-8")]
    with (data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        yield "banking77", [row["text"] for row in csv.DictReader(file)]
    yield "retrieval_wiki", [json.loads(line)["text"] for line in (data / "retrieval_wiki" / "corpus.jsonl").open(encoding="utf-8")]
    rows = [json.loads(line) for line in (data / "lfqa_preference" / "lfqa_preference.jsonl").open(encoding="utf-8")]
    yield "lfqa", [row[column] for row in rows for column in ("question", "preferred", "rejected")]


async def timings(rail: PersonalDataRail, messages: Sequence[str]) -> list[float]:
    """Microseconds of `check` for each message, in ascending order."""
    times = []
    for text in messages:
        subject = Screening(request=Request(id="bench", persona="plato", messages=(Message(role="user", content=text),)), text=text, encoding=None)
        began = time.perf_counter()
        await rail.check(subject)
        times.append((time.perf_counter() - began) * 1e6)
    return sorted(times)


if __name__ == "__main__":
    main()
