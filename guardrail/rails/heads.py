"""Classifier heads on the safety branch: one linear layer on a text's safety vectors, with calibrated outputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from guardrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.types import Encoding


class SafetyEncoder(Protocol):
    """An encoder with a safety branch. Thread-safe."""

    @property
    def dimensions(self) -> int: ...

    @property
    def safety_fingerprint(self) -> str:
        """SHA-256 over everything that changes a safety vector."""
        ...

    def safety_vectors(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text one vector a window, shape (windows, dimensions); the windows cover the whole text."""
        ...


class Head:
    """Logits W v + b of the outputs in `labels`, whose scale and offset were fitted on rows of their own (Platt 1999).

    Each output is a yes-or-no question of its own unless its user takes a softmax over some of them. `thresholds` are the measured ones, by output.
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        thresholds: dict[str, float],
        encoder: SafetyEncoder,
    ) -> None:
        """weight: (labels, dimensions), bias: (labels,)."""
        self.labels = labels
        self.weight = weight
        self.bias = bias
        self.thresholds = thresholds
        self._encoder = encoder

    @classmethod
    def load(cls, encoder: SafetyEncoder, path: Path) -> Head:
        """The head in the file at `path`. Raises ConfigurationError where it is damaged or was made for another branch than the encoder's."""
        again = "make it again with `python -m guardrail.finetune.rails.safety`."
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                weight, bias = file.get_tensor("weight").astype(np.float32), file.get_tensor("bias").astype(np.float32)
            labels = tuple(json.loads(metadata["labels"]))
            thresholds = {name: float(value) for name, value in json.loads(metadata["thresholds"]).items()}
            branch = metadata["branch"]
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"The head {path.name} cannot be read: {again}") from error
        if branch != encoder.safety_fingerprint:
            raise ConfigurationError(f"The head {path.name} was made for another encoder or safety branch: {again}")
        if weight.shape != (len(labels), encoder.dimensions) or bias.shape != (len(labels),):
            raise ConfigurationError(f"The head {path.name} has the wrong shape: {again}")
        return cls(labels, weight, bias, thresholds, encoder)

    def vectors(self, encoding: Encoding) -> NDArray[np.float32]:
        """The encoding's safety vectors, (windows, dimensions); where they were not asked for, they are computed now."""
        return encoding.safety if encoding.safety is not None else self.vectors_of(encoding.text)

    def vectors_of(self, text: str) -> NDArray[np.float32]:
        """The safety vectors of one text, (windows, dimensions)."""
        return self._encoder.safety_vectors((text,))[0]

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """vectors (..., dimensions) to logits (..., labels)."""
        found: NDArray[np.float32] = vectors @ self.weight.T + self.bias
        return found

    def probabilities(self, vectors: NDArray[np.float32]) -> dict[str, float]:
        """Of each output the probability, 0 to 1, in the window where it is highest; vectors: (windows, dimensions)."""
        worst = 1.0 / (1.0 + np.exp(-self.logits(vectors).max(axis=0).astype(np.float64)))
        return dict(zip(self.labels, worst.tolist(), strict=True))

    def of_texts(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """The probabilities of each text."""
        return [self.probabilities(vectors) for vectors in self._encoder.safety_vectors(texts)]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the last axis."""
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float32] = scaled / scaled.sum(axis=-1, keepdims=True)
    return shares
