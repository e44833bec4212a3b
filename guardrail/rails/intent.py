"""The user's intent, read from the one encoding by a calibrated classifier."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import ConfigurationError, RailError
from guardrail.rails.heads import Head, softmax
from guardrail.types import Intent, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail.protocols import Encoder, IntentClassifier, Need, Screening
    from guardrail.rails.heads import SafetyEncoder
    from guardrail.types import Encoding, Stage

WEIGHTS = Path(__file__).with_name("intent.safetensors")
QUESTION = "question"
BENIGN = ("greeting", "smalltalk", QUESTION, "out_of_scope")
"""Labels of messages that are no offence."""
_EXAMPLES = (
    ("What is virtue?", frozenset({QUESTION})),
    ("Should I fear death?", frozenset({QUESTION})),
    ("What is the capital of France?", frozenset({"out_of_scope"})),
    ("Hello, nice to meet you", frozenset({"greeting", "smalltalk"})),
)
"""The self-test: texts and the labels they may get."""


class IntentHead:
    """Softmax over the labels of a linear head on the safety branch, with a temperature (Guo et al. 2017) fitted on rows of their own.

    First it is decided whether the message is one of BENIGN or an offence, by where most of the probability lies. A benign message is a `question` as soon as
    that one's share among them reaches `threshold`, however probable another is: to turn a real question away is the worst mistake.
    """

    def __init__(self, head: Head) -> None:
        """Raises ConfigurationError where a label of BENIGN or the threshold is missing."""
        if not set(BENIGN) <= set(head.labels) or QUESTION not in head.thresholds:
            raise ConfigurationError("The intent head lacks labels: make it again with `python -m guardrail.finetune.rails.safety`.")
        self.head = head
        self.labels = head.labels
        self.threshold = head.thresholds[QUESTION]

    @classmethod
    def load(cls, encoder: SafetyEncoder, path: Path = WEIGHTS) -> IntentHead:
        """The head in the file at `path`. Raises ConfigurationError where it is damaged or was made for another branch than the encoder's."""
        return cls(Head.load(encoder, path))

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probability of each label for a text's safety vectors (windows, dimensions): the mean over its windows, (labels,)."""
        shares: NDArray[np.float32] = softmax(self.head.logits(vectors)).mean(axis=0)
        return shares

    def classify(self, encoding: Encoding) -> Intent:
        """The intent of one message and its probability."""
        probabilities = self.probabilities(self.head.vectors(encoding))
        best = int(self.choose(probabilities))
        return Intent(label=self.labels[best], score=float(probabilities[best]))

    def choose(self, probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
        """The number of the label for probabilities (labels,) or (n, labels)."""
        return choose(self.labels, probabilities, self.threshold)


def choose(labels: tuple[str, ...], probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """The number of the label for probabilities (labels,) or (n, labels), where `threshold` is the least share of a question among the benign labels."""
    question = labels.index(QUESTION)
    harmless = np.array([label in BENIGN for label in labels])
    benign = np.where(harmless, probabilities, 0.0)
    total = benign.sum(axis=-1)
    others = np.where(np.arange(len(labels)) == question, -1.0, benign)
    kind = np.where(benign[..., question] >= threshold * total, question, others.argmax(axis=-1))
    offence = np.where(harmless, -1.0, probabilities)
    chosen: NDArray[np.intp] = np.where(total >= 0.5, kind, offence.argmax(axis=-1))
    return chosen


class IntentRail:
    """Reports the intent in the verdict log. Its decision is always `pass`: the chat branches on the label, and other rails stop what is an offence.

    `score` is the probability of being out of scope; `reason` is the label.
    """

    id = "intent"
    version = "2"
    stage: Stage = "input"
    reach = 0
    needs: frozenset[Need] = frozenset({"encoding"})

    def __init__(self, head: IntentClassifier, encoder: Encoder) -> None:
        """`encoder` is used by the self-test alone."""
        self._head = head
        self._encoder = encoder

    async def check(self, subject: Screening) -> Verdict:
        """Always `pass`; `reason` names the label."""
        began = time.perf_counter()
        if subject.encoding is None:
            raise RailError("The intent rail needs the message's encoding: run it after the encoder.")
        intent = self._head.classify(subject.encoding)
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision="pass",
            score=intent.score if intent.label == "out_of_scope" else 0.0,
            reason=intent.label,
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    async def warm_up(self) -> None:
        """Classify four texts whose intent is known; raises RailError if one comes out wrong."""
        for (_, expected), encoding in zip(_EXAMPLES, self._encoder.encode([text for text, _ in _EXAMPLES]), strict=True):
            if self._head.classify(encoding).label not in expected:
                raise RailError("The intent rail fails its self-test: its head does not fit the encoder.")
