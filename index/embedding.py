"""Vectors and token states by passage text: kept from the last generation, resumed from an interrupted build, or computed.

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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from guardrail import sentences
from guardrail.index.encoder import pack, unit
from guardrail.index.generation import TOKEN_OFFSETS, TOKENS, VECTORS, Generation, file_entry, mapped
from guardrail.index.publish import sync

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.protocols import Encoder
    from guardrail.types import Encoding

_KEYS = "keys.npy"
_DIGEST = "sha256"
_ARRAYS = (_KEYS, VECTORS, TOKENS, TOKEN_OFFSETS)


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

    @property
    def key(self) -> bytes:
        """What the embedding is filed under: it depends on nothing but the encoder and this."""
        return hashlib.sha256(f"{self.opening}\0{self.text}".encode()).digest()

    @property
    def opening(self) -> str:
        """The title and the first sentence; empty where the title says nothing of this passage alone."""
        first = sentences.spans(self.text)[:1] if self.whole and self.title else []
        return "".join(f"{self.title}. {self.text[start:end]}" for start, end in first)


_Batch = list[Piece]


@dataclass(frozen=True, slots=True)
class _Shard:
    vectors: NDArray[np.float16]
    tokens: NDArray[Any]
    offsets: NDArray[np.int64]


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
        keys = np.frombuffer(b"".join(Piece(text, title, whole).key for text, title, whole in generation.pieces()), np.uint8).reshape(-1, 32)
        self._add(keys, _Shard(generation.vectors, generation.tokens, generation.token_offsets))

    def compute(self, pieces: Iterable[Piece], report: Report, pace: Pace) -> None:
        """Encode `pieces`, longest first.

        Texts of like length share a batch, so little is padded, and too large a batch fails at once rather than at the end.
        """
        todo = sorted(pieces, key=lambda piece: (-piece.tokens, piece.key))
        total, tokens_total = len(todo), sum(piece.tokens for piece in todo)
        report(Progress(step="embed", done=0, total=total))
        began = saved = time.monotonic()
        done = tokens_done = 0
        pending: list[tuple[bytes, Encoding]] = []
        for part, encodings in self._encoded([todo[start : start + pace.batch] for start in range(0, total, pace.batch)], pace.workers or _cores()):
            pending += [(piece.key, encoding) for piece, encoding in zip(part, encodings, strict=True)]
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

    def _encoded(self, batches: Sequence[_Batch], workers: int) -> Iterator[tuple[_Batch, list[Encoding]]]:
        """Batches with their encodings, in order; `workers` are in the encoder at once, and few wait to be taken."""
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="embed")
        running: deque[tuple[_Batch, Future[list[Encoding]]]] = deque()
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
        counts = [int(self._shards[shard].offsets[row + 1] - self._shards[shard].offsets[row]) for shard, row in places]
        offsets = np.zeros(len(keys) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        np.save(folder / TOKEN_OFFSETS, offsets, allow_pickle=False)
        _fill(folder / VECTORS, (len(keys), self._encoder.dimensions), np.dtype(np.float16), (self._shards[s].vectors[r : r + 1] for s, r in places))
        _fill(
            folder / TOKENS,
            (int(offsets[-1]), self._encoder.token_dimensions),
            self._dtype,
            (self._shards[s].tokens[self._shards[s].offsets[r] : self._shards[s].offsets[r + 1]] for s, r in places),
        )
        return int(offsets[-1])

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
        keys, vectors, tokens, offsets = (mapped(folder / name) for name in _ARRAYS)
        n = len(keys)
        if keys.shape != (n, 32) or vectors.shape != (n, self._encoder.dimensions) or offsets.shape != (n + 1,) or tokens.dtype != self._dtype:
            raise ValueError("the checkpoint has another shape")
        self._add(keys, _Shard(vectors, tokens, offsets))

    def _checkpoint(self, pending: Sequence[tuple[bytes, Encoding]]) -> None:
        aside = self._folder / f"unfinished-{uuid.uuid4().hex}"
        aside.mkdir(parents=True)
        packed = [pack(encoding.tokens) for _, encoding in pending]
        arrays: tuple[NDArray[Any], ...] = (
            np.frombuffer(b"".join(key for key, _ in pending), np.uint8).reshape(-1, 32),
            np.stack([encoding.vector for _, encoding in pending]).astype(np.float16),
            np.concatenate(packed),
            np.cumsum([0, *map(len, packed)], dtype=np.int64),
        )
        for name, array in zip(_ARRAYS, arrays, strict=True):
            np.save(aside / name, array, allow_pickle=False)
        (aside / _DIGEST).write_text(_digest(aside), encoding="ascii")
        for path in aside.iterdir():
            sync(path)
        final = self._folder / f"{time.time_ns():020d}"
        aside.rename(final)
        sync(self._folder)
        self._load(final)


def encode(encoder: Encoder, batch: Sequence[Piece]) -> list[Encoding]:
    """One Encoding a piece. The vector of a piece with an opening is the mean of the two, at unit length."""
    openings = [piece.opening for piece in batch if piece.opening]
    encodings = encoder.encode([*(piece.text for piece in batch), *openings])
    drawn = iter(encodings[len(batch) :])
    return [
        replace(encoding, vector=unit(encoding.vector + next(drawn).vector)) if piece.opening else encoding
        for piece, encoding in zip(batch, encodings[: len(batch)], strict=True)
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(folder: Path) -> str:
    return hashlib.sha256("".join(file_entry(folder / name).sha256 for name in _ARRAYS).encode()).hexdigest()


def _fill(path: Path, shape: tuple[int, int], dtype: np.dtype[Any], parts: Iterator[NDArray[Any]]) -> None:
    """Write a .npy file part by part; it may be larger than memory."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).tobytes())
