"""A leak index made in one pass over a corpus, in memory that does not grow with it."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from guardrail.errors import ConfigurationError, DocumentError
from guardrail.leaks.grams import NORMALISATION, grams, spread, whole, words
from guardrail.leaks.index import FORMAT, MANIFEST, CorpusEntry, FileEntry, Manifest, TokensEntry, WordsEntry
from guardrail.leaks.table import TableWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from guardrail.leaks.tokens import TokenClasses

WORDS = 6
"""Words of a run that the index knows: one changed word hides this many runs, so fewer words find more edits, and more chance matches (with 4, phrases
that happen to meet made runs in a third of honest texts on the corpus' subject)."""
TOKENS = 10
"""No run of so many counted tokens of the corpus is written under the decode constraint (Ippolito et al. 2022 take 10)."""
STRIDE = 2
"""Every second run of tokens is kept, each one token shorter: the same promise in half the room."""
_KNOWN = 1 << 18
"""Words whose hash is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build made. `bytes` is the size of all files but the manifest."""

    hash: str
    documents: int
    words: int
    tokens: int
    bytes: int
    seconds: float


def build(
    documents: Iterable[Iterable[str]],
    out: Path,
    *,
    classes: TokenClasses | None = None,
    words_k: int = WORDS,
    tokens_run: int = TOKENS,
    stride: int = STRIDE,
    report: Callable[[int], None] | None = None,
) -> BuildReport:
    """Index `documents`, each the pieces of one text, parted at white space, into the folder `out`, which appears when it is whole.

    `classes` of the model's tokenizer, for the decode constraint; None leaves that part out. `report` is told how many words were read. An older index in
    `out` is replaced. Raises DocumentError where the corpus holds no words, ConfigurationError where `out` cannot be written or is something else.
    """
    began = time.perf_counter()
    if tokens_run - stride < 1 or stride < 1 or words_k < 2:
        raise ConfigurationError("The runs of the leak index are too short: words_k is at least 2, tokens_run more than stride, stride at least 1.")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file())):
        raise ConfigurationError(f"{out} is there and is no leak index: give a new or an empty folder.")
    staging = out.with_name(f".{out.name}.{os.getpid()}.building")
    try:
        staging.mkdir(parents=True)
        with TableWriter(entry_bits=16) as word_table, TableWriter(entry_bits=32, value_bits=classes.bits if classes else 0) as token_table:
            reading = _Reading(word_table, token_table, classes, words_k=words_k, tokens_k=tokens_run - stride + 1, stride=stride)
            for document in documents:
                reading.take(document)
                if report is not None:
                    report(reading.words)
            if reading.probe is None:
                raise DocumentError(f"The corpus holds no text of {words_k} words or more: give the texts that the model is trained on.")
            word_keys = word_table.write(staging / "words.entries", staging / "words.offsets")
            tokens = None
            if classes is not None:
                keys = token_table.write(staging / "tokens.entries", staging / "tokens.offsets")
                tokens = TokensEntry(k=tokens_run - stride + 1, stride=stride, keys=keys, value_bits=classes.bits, classes=classes.fingerprint)
        files = {path.name: _entry(path) for path in sorted(staging.iterdir())}
        corpus = CorpusEntry(sha256=reading.corpus.hexdigest(), documents=reading.documents, words=reading.words, tokens=reading.tokens)
        runs = WordsEntry(k=words_k, keys=word_keys, probe=reading.probe, normalisation=NORMALISATION)
        manifest = Manifest(format=FORMAT, corpus=corpus, words=runs, tokens=tokens, files=files)
        raw = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1) + b"\n"
        (staging / MANIFEST).write_bytes(raw)
        if out.exists():
            shutil.rmtree(out)
        staging.rename(out)
    except OSError as error:
        raise ConfigurationError(f"The leak index cannot be written to {out} ({error.strerror or error}): give another folder.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return BuildReport(
        hash=sha256(raw).hexdigest(),
        documents=reading.documents,
        words=reading.words,
        tokens=reading.tokens,
        bytes=sum(entry.bytes for entry in files.values()),
        seconds=time.perf_counter() - began,
    )


class _Reading:
    """The pass over the corpus: counts, the corpus' hash, and runs on their way into the tables."""

    def __init__(self, word_table: TableWriter, token_table: TableWriter, classes: TokenClasses | None, *, words_k: int, tokens_k: int, stride: int) -> None:
        self._word_table = word_table
        self._token_table = token_table
        self._classes = classes
        self._words_k = words_k
        self._tokens_k = tokens_k
        self._stride = stride
        self._known: dict[str, int] = {}
        self.corpus = sha256()
        self.documents = self.words = self.tokens = 0
        self.probe: int | None = None
        """The first run of words."""

    def take(self, document: Iterable[str]) -> None:
        """One text. Runs go from piece to piece, not from text to text."""
        digest = sha256()
        hashes, apart = np.empty(0, np.uint64), np.empty(0, np.bool_)
        classes = np.empty(0, np.int64)
        place = 0  # of classes[0] among the document's counted tokens
        for piece in document:
            digest.update(piece.encode("utf-8", "surrogatepass"))
            if len(self._known) > _KNOWN:
                self._known.clear()
            found = words(piece, known=self._known)
            self.words += len(found)
            hashes, apart = np.concatenate([hashes, found.hashes]), np.concatenate([apart, found.apart])
            keys = grams(hashes, self._words_k)[whole(len(hashes), self._words_k, apart)]
            if self.probe is None and len(keys):
                self.probe = int(keys[0])
            self._word_table.add(keys)
            hashes, apart = hashes[1 - self._words_k :], apart[1 - self._words_k :]
            if self._classes is not None:
                ids = np.array(self._classes.tokenizer.encode(piece, add_special_tokens=False).ids, np.int64)
                self.tokens += len(ids)
                of = self._classes.of[ids]
                classes = np.concatenate([classes, of[of >= 0]])
                self._add_tokens(classes, place)
                kept = classes[1 - self._tokens_k :]
                place += len(classes) - len(kept)
                classes = kept
        self.corpus.update(digest.digest())
        self.documents += 1

    def _add_tokens(self, classes: np.ndarray[tuple[int], np.dtype[np.int64]], place: int) -> None:
        before = grams(spread(classes[:-1].astype(np.uint64)), self._tokens_k - 1)
        first = -place % self._stride
        self._token_table.add(before[first :: self._stride], classes[self._tokens_k - 1 :][first :: self._stride].astype(np.uint64))


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        return FileEntry(bytes=path.stat().st_size, sha256=file_digest(file, "sha256").hexdigest())
