"""How well the grounding rail tells supported claims from others, on rows that its weights were not fitted on, and how long a sentence takes.

    python benchmarks/grounding.py --data ../shared/data

Prints for each set the AUROC of the best cosine of claim and passage vectors, of the claim's shortness, of the rail's regression, and of the regression under
the hard rules; then how many supported and unsupported claims pass at the shipped threshold. Takes about two minutes on one core.
`library` holds claims written by hand about the built-in library, the false ones made to look right.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import numpy as np

from guardrail.finetune.grounding import broken, cosines, figures, report
from guardrail.finetune.grounding_data import encode, library_pairs, pairs
from guardrail.index.encoder import MiniLM
from guardrail.protocols import Claim
from guardrail.rails.grounding import COEFFICIENTS, GroundingRail
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request

COLUMNS = ("rows", "auroc_cosine", "auroc_length", "auroc_regression", "auroc_with_hard_rules", "supported_passed", "unsupported_passed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    arguments = parser.parse_args()
    encoder = MiniLM()
    card = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    own = library_pairs(encoder)
    table = [*(pair for pair in pairs(arguments.data) if pair.held_out), *own]
    encodings = encode(encoder, [text for pair in table for text in (pair.claim, *pair.passages)])
    found = report(card, table, figures(table, encodings), cosines(table, encodings), broken(table))
    print(f"{'':10}", *(f"{name:>21}" for name in COLUMNS))
    for source, scores in found.items():
        print(f"{source:10}", *(f"{scores[name]:21}" for name in COLUMNS))

    times = []
    rail = GroundingRail(encoder)
    for pair in own:
        hits = tuple(
            Hit(
                passage=Passage(id="p", source_id="p", title="", work="", locator="", persona="", text=text, start=0, end=len(text)),
                score=1.0,
                dense=1.0,
                late=1.0,
                coverage=1.0,
                tokens=encodings[text].tokens,
            )
            for text in pair.passages
        )
        request = Request(id="bench", persona=pair.group.partition(".")[0], messages=(Message(role="user", content="?"),))
        claim = Claim(evidence=Evidence(question=Question(request=request, text="?"), hits=hits), text=pair.claim)
        began = time.perf_counter()
        asyncio.run(rail.judge(claim))
        times.append((time.perf_counter() - began) * 1000)
    print(f"one sentence against five passages: p50 {np.quantile(times, 0.5):.1f} ms, p95 {np.quantile(times, 0.95):.1f} ms ({len(times)} sentences)")


if __name__ == "__main__":
    main()
