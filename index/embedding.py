"""Vectors, token states and sentence vectors by passage text: kept from the last generation, resumed from an interrupted build, or computed.

What is computed is checkpointed in `staging/embedded-FINGERPRINT/N/`, a folder that appears whole or not at all, so a build that is killed loses seconds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from guardrail import sentences
from guardrail.index.encoder import pack, unit
from guardrail.index.generation import (
    QUESTION_OFFSETS,
    QUESTION_VECTORS,
    SENTENCE_OFFSETS,
    SENTENCE_TOKENS,
    SENTENCE_VECTORS,
    TOKEN_OFFSETS,
    TOKENS,
    VECTORS,
    Generation,
    file_entry,
    mapped,
)
from guardrail.index.publish import sync

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.protocols import Encoder
    from guardrail.types import Encoding

_KEYS = "keys.npy"
_DIGEST = "sha256"
_ARRAYS = (VECTORS, TOKENS, TOKEN_OFFSETS, SENTENCE_VECTORS, SENTENCE_TOKENS, SENTENCE_OFFSETS, QUESTION_VECTORS, QUESTION_OFFSETS)
"""Files of a shard, in the order of `_Shard`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a build is. `total` is known before the step begins."""

    step: Literal["read", "cut", "embed", "write"]
    """Steps come in this order; where nothing has changed only `read`, and where nothing is new no `embed`."""
    done: int
    total: int
    """Files to read, documents to cut, passages to embed and to write."""
    rate: float = 0.0
    """embed: passages a second, over the whole step."""
    seconds_left: float | None = None
    """embed: by the tokens that are left; None until there is something to judge by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How embedding is cut into steps."""

    batch: int = 16
    """Texts that a worker takes at once."""
    workers: int = 0
    """Threads in the encoder at once, each running one forward pass; 0: one a core."""
    checkpoint_seconds: float = 5.0
    """Most work, in seconds, that a killed build loses."""


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage as it is embedded."""

    text: str
    title: str
    whole: bool
    """Whether it is all of a document that brings a title. Then title and first sentence say what it is about, and its vector is drawn towards them."""
    tokens: int = 0
    questions: tuple[str, ...] = ()
    """What it is known to answer, in users' words (doc2query, Nogueira et al. 2019, written by people)."""

    @property
    def key(self) -> bytes:
        """What the embedding is filed under: it depends on nothing but the encoder and this."""
        return hashlib.sha256("\0".join((self.opening, self.text, *self.questions)).encode()).digest()

    @property
    def opening(self) -> str:
        """The title and the first sentence; empty where the title says nothing of this passage alone."""
        first = sentences.spans(self.text)[:1] if self.whole and self.title else []
        return "".join(f"{self.title}. {self.text[start:end]}" for start, end in first)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding:
    """A passage after the encoder."""

    encoding: Encoding
    sentences: NDArray[np.float32]
    """A vector a sentence, shape (s, dimensions), unit length, s > 0."""
    lengths: NDArray[np.int32]
    """How many of the encoding's token states belong to each sentence, shape (s,)."""
    questions: NDArray[np.float32]
    """A vector a question, shape (q, dimensions), unit length."""


_Batch = list[Piece]


@dataclass(frozen=True, slots=True)
class _Shard:
    """Embeddings of n passages with m token states and s sentences, packed."""

    vectors: NDArray[np.float16]
    tokens: NDArray[Any]
    offsets: NDArray[np.int64]
    """Shape (n + 1,): where each passage's token states begin, as `sentence_offsets` its sentences."""
    sentences: NDArray[np.int8]
    lengths: NDArray[np.int32]
    sentence_offsets: NDArray[np.int64]
    questions: NDArray[np.float16]
    question_offsets: NDArray[np.int64]

    @classmethod
    def of(cls, embeddings: Sequence[Embedding]) -> _Shard:
        """`embeddings`, of which there is one at least, packed."""
        packed = [pack(embedding.encoding.tokens) for embedding in embeddings]
        return cls(
            np.stack([embedding.encoding.vector for embedding in embeddings]).astype(np.float16),
            np.concatenate(packed),
            np.cumsum([0, *map(len, packed)], dtype=np.int64),
            np.concatenate([pack(embedding.sentences) for embedding in embeddings]),
            np.concatenate([embedding.lengths for embedding in embeddings]),
            np.cumsum([0, *(len(embedding.lengths) for embedding in embeddings)], dtype=np.int64),
            np.concatenate([embedding.questions for embedding in embeddings]).astype(np.float16),
            np.cumsum([0, *(len(embedding.questions) for embedding in embeddings)], dtype=np.int64),
        )

    def states_of(self, row: int) -> slice:
        """Where the token states of a passage stand."""
        return slice(int(self.offsets[row]), int(self.offsets[row + 1]))

    def sentences_of(self, row: int) -> slice:
        """Where the sentences of a passage stand."""
        return slice(int(self.sentence_offsets[row]), int(self.sentence_offsets[row + 1]))

    def questions_of(self, row: int) -> slice:
        """Where the questions of a passage stand."""
        return slice(int(self.question_offsets[row]), int(self.question_offsets[row + 1]))


class Embeddings:
    """Vectors and stored token states by text, from wherever they came; large arrays stay on disk."""

    def __init__(self, encoder: Encoder, staging: Path) -> None:
        self._encoder = encoder
        self._folder = staging / f"embedded-{encoder.fingerprint[:32]}"
        self._dtype = pack(np.zeros((0, encoder.token_dimensions), np.float32)).dtype
        self._shards: list[_Shard] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        self._resume()

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def keep(self, generation: Generation) -> None:
        """Take over what a generation holds, if the same encoder made it."""
        if generation.manifest.encoder.fingerprint != self._encoder.fingerprint or generation.tokens.dtype != self._dtype:
            return
        pieces = (Piece(text, title, whole, questions=questions) for text, title, whole, questions in generation.pieces())
        keys = np.frombuffer(b"".join(piece.key for piece in pieces), np.uint8).reshape(-1, 32)
        self._add(
            keys,
            _Shard(
                generation.vectors,
                generation.tokens,
                generation.token_offsets,
                generation.sentence_vectors,
                generation.sentence_tokens,
                generation.sentence_offsets,
                generation.question_vectors,
                generation.question_offsets,
            ),
        )

    def compute(self, pieces: Iterable[Piece], report: Report, pace: Pace) -> None:
        """Encode `pieces`, longest first.

        Texts of like length share a batch, so little is padded, and too large a batch fails at once rather than at the end.
        """
        todo = sorted(pieces, key=lambda piece: (-piece.tokens, piece.key))
        total, tokens_total = len(todo), sum(piece.tokens for piece in todo)
        report(Progress(step="embed", done=0, total=total))
        began = saved = time.monotonic()
        done = tokens_done = 0
        pending: list[tuple[bytes, Embedding]] = []
        for part, embedded in self._encoded([todo[start : start + pace.batch] for start in range(0, total, pace.batch)], pace.workers or _cores()):
            pending += [(piece.key, embedding) for piece, embedding in zip(part, embedded, strict=True)]
            done += len(part)
            tokens_done += sum(piece.tokens for piece in part)
            now = time.monotonic()
            if done == total or now - saved >= pace.checkpoint_seconds:
                self._checkpoint(pending)
                pending.clear()
                saved = now
            spent = max(now - began, 1e-9)
            left = spent * (tokens_total - tokens_done) / max(1, tokens_done)
            report(Progress(step="embed", done=done, total=total, rate=done / spent, seconds_left=left))

    def _encoded(self, batches: Sequence[_Batch], workers: int) -> Iterator[tuple[_Batch, list[Embedding]]]:
        """Batches with their embeddings, in order; `workers` are in the encoder at once, and few wait to be taken."""
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="embed")
        running: deque[tuple[_Batch, Future[list[Embedding]]]] = deque()
        try:
            for batch in batches:
                running.append((batch, pool.submit(encode, self._encoder, batch)))
                if len(running) > 2 * workers:
                    first, future = running.popleft()
                    yield first, future.result()
            for first, future in running:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def write(self, folder: Path, keys: Sequence[bytes]) -> int:
        """Write the arrays of a generation, one row a key, and return how many token states they hold."""
        places = [self._places[key] for key in keys]
        placed = [(self._shards[shard], row) for shard, row in places]
        states, cut = [shard.states_of(row) for shard, row in placed], [shard.sentences_of(row) for shard, row in placed]
        asked = [shard.questions_of(row) for shard, row in placed]
        offsets, sentence_offsets, question_offsets = _offsets(states), _offsets(cut), _offsets(asked)
        tokens, total = int(offsets[-1]), int(sentence_offsets[-1])
        encoder, stored = self._encoder, pack(np.zeros((0, self._encoder.dimensions), np.float32)).dtype
        np.save(folder / TOKEN_OFFSETS, offsets, allow_pickle=False)
        np.save(folder / SENTENCE_OFFSETS, sentence_offsets, allow_pickle=False)
        np.save(folder / QUESTION_OFFSETS, question_offsets, allow_pickle=False)
        _fill(folder / VECTORS, (len(keys), encoder.dimensions), np.dtype(np.float16), (shard.vectors[row : row + 1] for shard, row in placed))
        _fill(folder / TOKENS, (tokens, encoder.token_dimensions), self._dtype, (shard.tokens[at] for (shard, _), at in zip(placed, states, strict=True)))
        _fill(folder / SENTENCE_VECTORS, (total, encoder.dimensions), stored, (shard.sentences[at] for (shard, _), at in zip(placed, cut, strict=True)))
        _fill(folder / SENTENCE_TOKENS, (total,), np.dtype(np.int32), (shard.lengths[at] for (shard, _), at in zip(placed, cut, strict=True)))
        questions = (int(question_offsets[-1]), encoder.dimensions)
        _fill(folder / QUESTION_VECTORS, questions, np.dtype(np.float16), (shard.questions[at] for (shard, _), at in zip(placed, asked, strict=True)))
        return tokens

    def _add(self, keys: NDArray[np.uint8], shard: _Shard) -> None:
        number = len(self._shards)
        self._shards.append(shard)
        for row, digest in enumerate(keys):
            self._places.setdefault(digest.tobytes(), (number, row))

    def _resume(self) -> None:
        """Take over the checkpoints of an interrupted build; a damaged one is thrown away."""
        for folder in sorted(self._folder.glob("[0-9]*")) if self._folder.is_dir() else ():
            try:
                self._load(folder)
            except (OSError, ValueError, EOFError):
                shutil.rmtree(folder, ignore_errors=True)

    def _load(self, folder: Path) -> None:
        if (folder / _DIGEST).read_text(encoding="ascii") != _digest(folder):
            raise ValueError("the checkpoint has changed")
        keys = mapped(folder / _KEYS)
        shard = _Shard(*(mapped(folder / name) for name in _ARRAYS))
        n, dimensions = len(keys), self._encoder.dimensions
        if (
            keys.shape != (n, 32)
            or shard.vectors.shape != (n, dimensions)
            or shard.offsets.shape != (n + 1,)
            or shard.tokens.dtype != self._dtype
            or shard.sentence_offsets.shape != (n + 1,)
            or shard.sentences.shape != (len(shard.lengths), dimensions)
            or shard.question_offsets.shape != (n + 1,)
            or shard.questions.shape != (int(shard.question_offsets[-1]), dimensions)
        ):
            raise ValueError("the checkpoint has another shape")
        self._add(keys, shard)

    def _checkpoint(self, pending: Sequence[tuple[bytes, Embedding]]) -> None:
        aside = self._folder / f"unfinished-{uuid.uuid4().hex}"
        aside.mkdir(parents=True)
        np.save(aside / _KEYS, np.frombuffer(b"".join(key for key, _ in pending), np.uint8).reshape(-1, 32), allow_pickle=False)
        shard = _Shard.of([embedding for _, embedding in pending])
        for name, field in zip(_ARRAYS, fields(shard), strict=True):
            np.save(aside / name, getattr(shard, field.name), allow_pickle=False)
        (aside / _DIGEST).write_text(_digest(aside), encoding="ascii")
        for path in aside.iterdir():
            sync(path)
        final = self._folder / f"{time.time_ns():020d}"
        aside.rename(final)
        sync(self._folder)
        self._load(final)


def encode(encoder: Encoder, batch: Sequence[Piece]) -> list[Embedding]:
    """One Embedding a piece. The vector of a piece with an opening is the mean of the two, at unit length."""
    openings = [piece.opening for piece in batch if piece.opening]
    cuts = [sentences.spans(piece.text) or [(0, len(piece.text))] for piece in batch]
    # A piece of one sentence has been encoded already.
    single = [piece.text[start:end] for piece, cut in zip(batch, cuts, strict=True) if len(cut) > 1 for start, end in cut]
    asked = [question for piece in batch for question in piece.questions]
    encodings = iter(encoder.encode([*(piece.text for piece in batch), *openings, *single, *asked]))
    whole = [next(encodings) for _ in batch]
    drawn = [next(encodings).vector if piece.opening else None for piece in batch]
    views = [np.stack([next(encodings).vector for _ in cut]) if len(cut) > 1 else encoding.vector[None] for encoding, cut in zip(whole, cuts, strict=True)]
    none = np.zeros((0, encoder.dimensions), np.float32)
    return [
        Embedding(
            encoding=encoding if opening is None else replace(encoding, vector=unit(encoding.vector + opening)),
            sentences=view,
            lengths=_lengths(cut, encoding),
            questions=np.stack([next(encodings).vector for _ in piece.questions]) if piece.questions else none,
        )
        for piece, encoding, opening, view, cut in zip(batch, whole, drawn, views, cuts, strict=True)
    ]


def _lengths(cut: Sequence[tuple[int, int]], encoding: Encoding) -> NDArray[np.int32]:
    """How many of the token states stand in each of the sentences at `cut`."""
    numbers = np.searchsorted([end for _, end in cut[:-1]], encoding.spans[:, 0], side="right")
    return np.bincount(numbers, minlength=len(cut)).astype(np.int32)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(folder: Path) -> str:
    return hashlib.sha256("".join(file_entry(folder / name).sha256 for name in (_KEYS, *_ARRAYS)).encode()).hexdigest()


def _offsets(parts: Sequence[slice]) -> NDArray[np.int64]:
    """Where each of `parts` begins when they stand one after the other, and where the last one ends."""
    return np.cumsum([0, *(part.stop - part.start for part in parts)], dtype=np.int64)


def _fill(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterator[NDArray[Any]]) -> None:
    """Write a .npy file part by part; it may be larger than memory."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).tobytes())
