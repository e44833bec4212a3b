"""How long the grounding rail takes for a sentence that no passage holds word for word, against five passages, on one core.

Run: python -m benchmarks.verification

The sentences are the claims about the built-in library that were written by hand for fitting the rail. Those that it decides without a forward pass of the
encoder, because a hard rule breaks or a passage has the very words, are left out.
"""

from __future__ import annotations

import asyncio
import os
import time

from benchmarks.load import quantile
from benchmarks.process import cores
from guardrail.finetune.rails.grounding_data import encode, library_pairs
from guardrail.index.encoder import MiniLM
from guardrail.protocols import Claim
from guardrail.rails.grounding import GroundingRail
from guardrail.types import Encoding, Evidence, Hit, Message, Passage, Question, Request


def milliseconds() -> list[float]:
    """Milliseconds a sentence, in ascending order. This process has one core while it measures."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores()[0])
    try:
        encoder = MiniLM()
        pairs = library_pairs(encoder)
        encodings = encode(encoder, [text for pair in pairs for text in pair.passages])
        rail = GroundingRail(encoder)
        times = []
        for pair in pairs:
            claim = Claim(evidence=_evidence([(text, encodings[text]) for text in pair.passages]), text=pair.claim)
            began = time.perf_counter()
            sentence = asyncio.run(rail.judge(claim)).sentence
            taken = (time.perf_counter() - began) * 1000
            if sentence.passage is not None and 0.0 < sentence.support < 1.0:
                times.append(taken)
        return sorted(times)
    finally:
        os.sched_setaffinity(0, before)


def _evidence(passages: list[tuple[str, Encoding]]) -> Evidence:
    hits = tuple(
        Hit(
            passage=Passage(id=str(number), source_id="p", title="", work="", locator="", persona="", text=text, start=0, end=len(text)),
            score=1.0,
            dense=1.0,
            late=1.0,
            coverage=1.0,
            tokens=encoding.tokens,
        )
        for number, (text, encoding) in enumerate(passages)
    )
    request = Request(id="bench", persona="plato", messages=(Message(role="user", content="?"),))
    return Evidence(question=Question(request=request, text="?"), hits=hits)


def main() -> None:
    times = milliseconds()
    print(f"{len(times)} sentences: p50 {quantile(times, 0.5):.1f} ms, p95 {quantile(times, 0.95):.1f} ms")


if __name__ == "__main__":
    main()
