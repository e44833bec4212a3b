"""The user's intent, read from the one encoding by a small calibrated classifier."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from guardrail.errors import ConfigurationError, RailError
from guardrail.types import Intent, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail.protocols import Encoder, IntentClassifier, Need, Screening
    from guardrail.types import Encoding, Stage

WEIGHTS = Path(__file__).with_name("intent.safetensors")
QUESTION = "question"
_EXAMPLES = (
    ("What is virtue?", frozenset({QUESTION})),
    ("Should I fear death?", frozenset({QUESTION})),
    ("What is the capital of France?", frozenset({"out_of_scope"})),
    ("Hello, nice to meet you", frozenset({"greeting", "smalltalk"})),
)
"""The self-test: texts and the labels they may get."""


class IntentHead:
    """One hidden layer on the sentence vector, softmax(W2 relu(W1 v + b1) + b2), with a temperature (Guo et al. 2017) fitted on rows of their own.

    A message is a `question` as soon as the probability of that reaches `threshold`, however probable another label is: to turn a real question away is the
    worst mistake. Below it the most probable other label is given.
    """

    def __init__(self, labels: tuple[str, ...], layers: dict[str, NDArray[np.float32]], threshold: float) -> None:
        """layers: `hidden` (h, dimensions), `hidden_bias` (h,), `output` (labels, h), `output_bias` (labels,), the output already divided by the temperature.

        threshold: 0 to 1.
        """
        self.labels = labels
        self.layers = layers
        self.threshold = threshold
        self._question = labels.index(QUESTION)

    @classmethod
    def load(cls, encoder: Encoder, path: Path = WEIGHTS) -> IntentHead:
        """The head in the file at `path`. Raises ConfigurationError where it is damaged or was made for another encoder than `encoder`."""
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                layers = {name: file.get_tensor(name) for name in ("hidden", "hidden_bias", "output", "output_bias")}
            labels, threshold = tuple(json.loads(metadata["labels"])), float(metadata["threshold"])
            fingerprint = metadata["encoder"]
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ConfigurationError(f"The intent head {path.name} cannot be read: train it again with `python -m guardrail.finetune.intent`.") from error
        if fingerprint != encoder.fingerprint:
            raise ConfigurationError(f"The intent head {path.name} was made for another encoder: train it again with `python -m guardrail.finetune.intent`.")
        hidden = layers["hidden_bias"].shape
        expected = {"hidden": (*hidden, encoder.dimensions), "hidden_bias": hidden, "output": (len(labels), *hidden), "output_bias": (len(labels),)}
        if {name: layer.shape for name, layer in layers.items()} != expected or QUESTION not in labels:
            raise ConfigurationError(f"The intent head {path.name} has the wrong shape: train it again with `python -m guardrail.finetune.intent`.")
        return cls(labels, layers, threshold)

    def probabilities(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probability of each label; vector: (dimensions,) or (n, dimensions), result (labels,) or (n, labels)."""
        layers = self.layers
        hidden = np.maximum(vector @ layers["hidden"].T + layers["hidden_bias"], 0.0)
        logits = hidden @ layers["output"].T + layers["output_bias"]
        scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares: NDArray[np.float32] = scaled / scaled.sum(axis=-1, keepdims=True)
        return shares

    def classify(self, encoding: Encoding) -> Intent:
        """The intent of one message and its probability."""
        probabilities = self.probabilities(encoding.vector)
        best = int(self.choose(probabilities))
        return Intent(label=self.labels[best], score=float(probabilities[best]))

    def choose(self, probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
        """The number of the label for probabilities (labels,) or (n, labels)."""
        others = probabilities.copy()
        others[..., self._question] = -1.0
        chosen: NDArray[np.intp] = np.where(probabilities[..., self._question] >= self.threshold, self._question, others.argmax(axis=-1))
        return chosen


class IntentRail:
    """Reports the intent in the verdict log. Its decision is always `pass`: the chat branches on the label, and no label of it is an offence.

    `score` is the probability of being out of scope; the finding's type is the label.
    """

    id = "intent"
    version = "1"
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
