"""How a reply came about, as a few lines for a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail import presentation
from guardrail.types import Answer

if TYPE_CHECKING:
    from guardrail.types import Reply, Verdict


def why(reply: Reply) -> str:
    """What kind of reply it is and who wrote it, every verdict, the support of each sentence, and where the time went."""
    lines = [f"{presentation.kind(reply)}, written by {reply.generator}"]
    lines += [_verdict(verdict) for verdict in reply.verdicts]
    if isinstance(reply, Answer):
        for number, sentence in enumerate(reply.sentences, 1):
            place = "no passage" if sentence.passage is None else reply.draft.evidence.hits[sentence.passage].passage.id
            lines.append(f"  sentence {number}: support {sentence.support:.2f} from {place}{_because(sentence.reasons)}")
    timings = presentation.timings_object(reply.timings)
    lines.append("  " + ", ".join(f"{step} {milliseconds:.1f} ms" for step, milliseconds in timings.items() if milliseconds))
    return "\n".join(line for line in lines if line.strip())


def _verdict(verdict: Verdict) -> str:
    threshold = "" if verdict.threshold is None else f" (threshold {verdict.threshold:.2f})"
    mode = " in shadow" if verdict.mode == "shadow" else ""
    outcome = "" if verdict.outcome == "ok" else f", {verdict.outcome}"
    reason = f": {verdict.reason}" if verdict.reason else ""
    return f"  {verdict.stage} {verdict.rail} {verdict.rail_version}: {verdict.decision}{mode}{outcome}, score {verdict.score:.2f}{threshold}{reason}"


def _because(reasons: tuple[str, ...]) -> str:
    return f" ({', '.join(reasons)})" if reasons else ""
