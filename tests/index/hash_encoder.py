"""A tiny encoder for tests: words are hashed to vectors, so the same text has the same vector in every process."""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING

import numpy as np

from guardrail.types import Encoding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DIMENSIONS = 16
_TOKEN = re.compile(r"\w{1,8}|[^\w\s]")


class HashEncoder:
    """Satisfies guardrail.protocols.Encoder; a text's vector is the mean of its tokens'."""

    name = "hash"
    dimensions = DIMENSIONS
    token_dimensions = DIMENSIONS

    def __init__(self, *, fingerprint: str = "1" * 64, max_tokens: int = 64, seconds_a_batch: float = 0.0) -> None:
        self.fingerprint = fingerprint
        self.max_tokens = max_tokens
        self.seconds_a_batch = seconds_a_batch
        self.encoded: list[str] = []
        """Every text that was ever given to `encode`."""

    def encode(self, texts: Sequence[str], *, safety: bool = False) -> list[Encoding]:
        time.sleep(self.seconds_a_batch)
        self.encoded += texts
        return [self._encode(text) for text in texts]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in _TOKEN.finditer(text)]

    def content_spans(self, text: str) -> list[tuple[int, int]]:
        return [(start, end) for start, end in self.token_spans(text)[: self.max_tokens - 2] if text[start].isalnum()]

    def _encode(self, text: str) -> Encoding:
        spans = self.content_spans(text)
        tokens = np.stack([_vector(text[start:end]) for start, end in spans]) if spans else np.zeros((0, DIMENSIONS), np.float32)
        total = tokens.sum(axis=0) if spans else np.ones(DIMENSIONS, np.float32)
        return Encoding(text=text, vector=total / np.linalg.norm(total), tokens=tokens, spans=np.array(spans, np.int32).reshape(-1, 2))


def _vector(word: str) -> NDArray[np.float32]:
    raw = np.frombuffer(hashlib.blake2b(word.lower().encode(), digest_size=DIMENSIONS).digest(), np.uint8).astype(np.float32) - 127.5
    unit: NDArray[np.float32] = raw / np.linalg.norm(raw)
    return unit
