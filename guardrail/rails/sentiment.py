"""The tone of a message or a reply: negative, neutral or positive, and whether somebody is in distress. It stops nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import RailError
from guardrail.protocols import Screening
from guardrail.rails.heads import Head, softmax
from guardrail.types import Finding, Verdict

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from guardrail.protocols import Claim, Need
    from guardrail.rails.heads import SafetyEncoder
    from guardrail.types import Stage

WEIGHTS = Path(__file__).with_name("sentiment.safetensors")
SENTIMENTS = ("negative", "neutral", "positive")
DISTRESS = "distress"
FLAGS = (DISTRESS, "offensive", "hate")
"""Yes-or-no outputs beside the sentiment."""
_EXAMPLES = (
    ("I love this, thank you, what a wonderful answer!", "positive", False),
    ("What does Socrates say about death in the Apology?", "neutral", False),
    ("I feel so hopeless and alone, I don't know how to go on.", "negative", True),
)
"""The self-test: texts, their sentiment, and whether they speak of distress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tone:
    """How a text sounds: the likeliest sentiment with its probability, and the probabilities of distress, offensive and hateful language, all 0 to 1."""

    label: str
    score: float
    distress: float
    offensive: float
    hate: float


class SentimentRail:
    """Reports the tone, made for input and output. The decision is always `pass`; `score` is the probability of distress.

    The finding's type is the sentiment, its score that label's probability; a further finding `distress` says that distress is likelier than its threshold.
    """

    id = "sentiment"
    version = "1"
    reach = 0
    needs: frozenset[Need] = frozenset({"encoding"})

    def __init__(self, head: Head, stage: Stage = "input", *, threshold: float | None = None, pool: Executor | None = None) -> None:
        """`threshold`: from which probability distress is reported, None for the measured one. `pool` runs the encoder on replies."""
        self.stage = stage
        self._head = head
        self._pool = pool
        self.threshold = head.thresholds[DISTRESS] if threshold is None else threshold

    @classmethod
    def load(cls, encoder: SafetyEncoder, stage: Stage = "input", *, threshold: float | None = None, pool: Executor | None = None) -> SentimentRail:
        """The rail with the shipped head. Raises ConfigurationError."""
        return cls(Head.load(encoder, WEIGHTS), stage, threshold=threshold, pool=pool)

    @staticmethod
    def reported(verdict: Verdict) -> dict[str, str | float] | None:
        """The sentiment in a verdict of this rail as `{"label", "score"}`, None where the rail did not run."""
        found = next((finding for finding in verdict.findings if finding.type in SENTIMENTS), None)
        return None if found is None else {"label": found.type, "score": found.score}

    def clear(self, subject: Claim) -> int:
        """All of it: the rail stops nothing, so nothing waits for it."""
        return len(subject.text)

    def tone(self, vectors: NDArray[np.float32]) -> Tone:
        """The tone of a text by its safety vectors, (windows, dimensions): the mean sentiment, and the window with the most distress."""
        logits = self._head.logits(vectors)
        shares = softmax(logits[:, : len(SENTIMENTS)]).mean(axis=0)
        best = int(shares.argmax())
        flags = 1.0 / (1.0 + np.exp(-logits[:, len(SENTIMENTS) :].max(axis=0).astype(np.float64)))
        distress, offensive, hate = flags.tolist()
        return Tone(label=SENTIMENTS[best], score=float(shares[best]), distress=distress, offensive=offensive, hate=hate)

    async def check(self, subject: Screening | Claim) -> Verdict:
        """Always `pass`."""
        began = time.perf_counter()
        if isinstance(subject, Screening):
            if subject.encoding is None:
                raise RailError("The sentiment rail needs the message's encoding: run it after the encoder.")
            vectors = self._head.vectors(subject.encoding)
        else:
            vectors = await asyncio.get_running_loop().run_in_executor(self._pool, self._head.vectors_of, subject.text)
        tone = self.tone(vectors)
        findings = [Finding(type=tone.label, start=0, end=len(subject.text), score=tone.score)]
        if tone.distress > self.threshold:
            findings.append(Finding(type=DISTRESS, start=0, end=len(subject.text), score=tone.distress))
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision="pass",
            score=tone.distress,
            threshold=self.threshold,
            findings=tuple(findings),
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    async def warm_up(self) -> None:
        """Read texts whose tone is known, by the measured threshold; raises RailError if one comes out wrong."""
        for text, label, distress in _EXAMPLES:
            tone = self.tone(self._head.vectors_of(text))
            if tone.label != label or (tone.distress > self._head.thresholds[DISTRESS]) != distress:
                raise RailError("The sentiment rail fails its self-test: its head does not fit the encoder.")
