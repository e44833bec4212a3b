"""Whether a passage answers a question, told by reading both together: a cross-encoder (Nogueira and Cho 2019, "Passage Re-ranking with BERT").

Question and passage stand in one text, [CLS] question [SEP] passage [SEP]. The three lower layers are the encoder's own; above them goes a copy of the
upper three, the *reading branch*, which `guardrail.finetune.rails.pair_reader` finetunes and which is stored as the safety branch is.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from guardrail.errors import LibraryError
from guardrail.index import safety_branch
from guardrail.index.encoder import CLS, MAX_TOKENS, SEP, MiniLM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnxruntime
    from numpy.typing import NDArray

BRANCH = Path(str(resources.files("guardrail.index").joinpath("reading_branch.safetensors")))
WEIGHT, BIAS = "head.weight", "head.bias"
LONGEST_QUESTION = 60
"""Tokens; what a question has beyond them is not read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Branch:
    upper: onnxruntime.InferenceSession
    weight: NDArray[np.float32]
    """(2 * dimensions,): for the state of [CLS], then for the mean of all states."""
    bias: float


class PairReader:
    """Scores passages for a question. Thread-safe. The weights, 21 MB in memory, load with the first question."""

    def __init__(self, encoder: MiniLM, branch: Path = BRANCH) -> None:
        self._encoder = encoder
        self._path = branch
        self._loading = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the branch's file. Raises LibraryError where it is missing."""
        try:
            return hashlib.sha256(self._path.read_bytes()).hexdigest()
        except OSError as error:
            raise _unreadable(self._path) from error

    def scores(self, question: str, passages: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """The log odds that each passage, a title and a text, answers the question, (len(passages),).

        Raises LibraryError where the branch is missing or damaged.
        """
        with self._loading:
            branch = self._branch
        found = np.empty(len(passages), np.float32)
        for rows, hidden, mask in self._encoder.lower([pair_ids(self._encoder, question, as_read(*passage)) for passage in passages]):
            (states,) = branch.upper.run(None, {"hidden": hidden, "attention_mask": mask})
            mean = np.einsum("blh,bl->bh", states, mask.astype(np.float32)) / mask.sum(axis=1, dtype=np.float32)[:, None]
            found[rows] = np.concatenate([states[:, 0], mean], axis=1) @ branch.weight + branch.bias
        return found

    @cached_property
    def _branch(self) -> _Branch:
        upper, weight, bias = _load(self._path, self._encoder.upper_weights())
        return _Branch(upper=self._encoder.upper(upper), weight=weight, bias=bias)


def pair_ids(encoder: MiniLM, question: str, passage: str) -> NDArray[np.int32]:
    """Token numbers of both as they are read together, at most MAX_TOKENS: the passage is cut, the question only beyond LONGEST_QUESTION."""
    asked = encoder.token_ids(question)[1:-1][:LONGEST_QUESTION]
    read = encoder.token_ids(passage)[1:-1][: MAX_TOKENS - 3 - len(asked)]
    return np.array([CLS, *asked, SEP, *read, SEP], np.int32)


def as_read(title: str, text: str) -> str:
    """A passage as the reader was trained on it."""
    return f"{title}. {text}"


def _load(path: Path, own: Mapping[str, NDArray[np.float32]]) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32], float]:
    try:
        stored = safetensors.numpy.load(path.read_bytes())
        weight, bias = stored.pop(WEIGHT).astype(np.float32), float(stored.pop(BIAS)[0])
        learned = safety_branch.unpack(stored, own)
        if set(learned) != set(own) or weight.shape != (2 * MiniLM.dimensions,):
            raise ValueError(path.name)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _unreadable(path) from error
    return learned, weight, bias


def _unreadable(path: Path) -> LibraryError:
    return LibraryError(f"The reading branch {path.name} cannot be read: make it again with `python -m guardrail.finetune.rails.pair_reader`.")
