"""How much of the shipped system prompts the prompt_leak rail stops, and how often it and the control_tokens rail are wrong about honest texts.

    python -m benchmarks.prompt_leak --data ../shared/data

Leaks: every line of the system prompts (both personas, every template) with more than 60 characters, alone and in the dresses below. Baseline: the line stands
in the reply word for word. Public are a persona's field, description and topics. No model is attacked here: the leaks are copies. Takes a few seconds.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.normaliser import LIBRARY, rows, share
from guardrail.prompts import LINE_KINDS, load_personas, load_templates
from guardrail.rails.control_tokens import ControlTokenRail
from guardrail.rails.prompt_leak import PromptLeakRail, new_canary
from guardrail.types import Evidence, Message, Question, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONG = 60
DRESSES: dict[str, Callable[[str], str]] = {
    "as it stands": str,
    "capitals": str.upper,
    "spaced letters": " ".join,
    "rot13": lambda line: codecs.encode(line, "rot13"),
    "reversed": lambda line: line[::-1],
    "base64": lambda line: base64.b64encode(line.encode()).decode(),
    "hex": lambda line: line.encode().hex(),
    "every other word": lambda line: " ".join(line.split()[::2]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    data = parser.parse_args().data
    _prompt_leak(data)
    _control_tokens(data)


def _prompt_leak(data: Path) -> None:
    personas = tuple(load_personas().values())
    prompts = [
        template.render(
            persona=persona,
            evidence=Evidence(question=Question(request=Request(id="r", persona=persona.id, messages=(Message(role="user", content="?"),)), text="?"), hits=()),
        )[0].content
        for persona in personas
        for template in load_templates().values()
    ]
    public = [text for persona in personas for text in (persona.field, persona.description, *persona.topics)]
    rail = PromptLeakRail(prompts, canary=new_canary(), public=public)
    leaks = sorted({line for prompt in prompts for line in prompt.split("\n") if len(line) > LONG})
    print(f"{len(leaks)} lines of {len(prompts)} prompts: stopped [95 % interval], baseline")
    for name, dress in DRESSES.items():
        stopped = sum(bool(rail.find(f"Here: {dress(line)}.")) for line in leaks)
        print(f"  {name:18} {share(stopped, len(leaks))}  {sum(line in dress(line) for line in leaks) / len(leaks):.3f}")
    honest = {
        "halueval general, responses": [row["response"] for row in rows(data / "halueval" / "general.jsonl")],
        "built-in library": [row["text"] for path in sorted(LIBRARY.glob("*/*.jsonl")) for row in rows(path)],
        "the personas' own lines": [line for persona in personas for kind in LINE_KINDS for line in getattr(persona.lines, kind)],
    }
    for name, texts in honest.items():
        began = time.perf_counter()
        wrong = sum(bool(rail.find(text)) for text in texts)
        taken = (time.perf_counter() - began) / len(texts) * 1e6
        print(
            f"  {name:30} {len(texts):5}  false alarms {share(wrong, len(texts))}  "
            f"{taken:.0f} microseconds for {sum(map(len, texts)) / len(texts):.0f} characters"
        )


def _control_tokens(data: Path) -> None:
    rail = ControlTokenRail()
    print("control_tokens: blocked [95 % interval], only reported")
    for name, texts in _messages(data):
        scores = [max((finding.score for finding in rail.find(text)), default=0.0) for text in texts]
        blocked, reported = sum(score > rail.threshold for score in scores), sum(0 < score <= rail.threshold for score in scores)
        print(f"  {name:40} {len(texts):5}  {share(blocked, len(texts))}  {reported}")


def _messages(data: Path) -> Iterator[tuple[str, list[str]]]:
    yield "clinc150 val", [row["text"] for row in rows(data / "clinc150" / "val.jsonl")]
    yield "benign_instructions", [row["prompt"] for row in rows(data / "benign_instructions" / "alpaca_instructions.jsonl")]
    with (data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        yield "banking77", [row["text"] for row in csv.DictReader(file)]
    yield "cyberseceval frr", [row["prompt"] for row in rows(data / "cyberseceval" / "frr.jsonl")]
    yield "halueval general, prompts", [row["prompt"] for row in rows(data / "halueval" / "general.jsonl")]
    yield "attacks: jailbreak_in_the_wild", [row["prompt"] for row in rows(data / "jailbreak_in_the_wild" / "jailbreak_prompts.jsonl")]
    yield "attacks: deepset_prompt_injections", [row["text"] for row in rows(data / "deepset_prompt_injections" / "train.jsonl") if str(row["label"]) == "1"]


if __name__ == "__main__":
    main()
