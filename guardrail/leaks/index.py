"""The leak index of a training corpus: which runs of words and of tokens stand in it, in a folder of a few megabytes.

    manifest.json                     what it was made of, and the SHA-256 of every other file; its own SHA-256 is the index's hash
    words.entries, words.offsets      every run of k words, normalised (`guardrail.leaks.grams`), as fingerprints (`guardrail.leaks.table`)
    tokens.entries, tokens.offsets    runs of the model's own tokens, each with the token that ends it, for decoding (`guardrail.generate.memfree`)

Keep it as private as the corpus: it holds no text, but whoever has it can test what the corpus holds and, from a known beginning, follow the tokens of a text
with patience. A model folder may name the index of what it was trained on, in `leak_index.json`: `require` refuses any other.
"""

from __future__ import annotations

from hashlib import file_digest, sha256
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from guardrail.errors import ConfigurationError
from guardrail.leaks.grams import NORMALISATION
from guardrail.leaks.table import GramTable

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
MANIFEST = "manifest.json"
BINDING = "leak_index.json"
"""In a model folder: the index of the corpus that it was trained on."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the index as it was written."""

    bytes: int
    sha256: str


class CorpusEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the index was made of. `sha256` is over the SHA-256 of each document's text, in order."""

    sha256: str
    documents: int
    words: int
    tokens: int
    """Of the model's tokenizer, 0 where there was none."""


class WordsEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Runs of `k` words, at every place of the corpus; `keys` of them differ, and `probe` is one, for a self-test."""

    k: int
    keys: int
    probe: int
    normalisation: str


class TokensEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Runs of `k` counted tokens, at every `stride`-th place: so no run of `k + stride - 1` is without one. `classes` is TokenClasses.fingerprint."""

    k: int
    stride: int
    keys: int
    value_bits: int
    classes: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `manifest.json` holds."""

    format: int
    corpus: CorpusEntry
    words: WordsEntry
    tokens: TokensEntry | None
    files: dict[str, FileEntry]


class LeakIndex:
    """An open index. The tables are mapped into memory; safe to share between threads."""

    def __init__(self, folder: Path, manifest: Manifest, digest: str, *, words: GramTable, tokens: GramTable | None) -> None:
        self.folder = folder
        self.manifest = manifest
        self.hash = digest
        """SHA-256 of the manifest, and so of everything."""
        self.words = words
        self.tokens = tokens

    @classmethod
    def open(cls, folder: Path) -> LeakIndex:
        """The index in `folder`, every file checked against its hash. Raises ConfigurationError where it is missing, half-written or altered."""
        try:
            raw = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"There is no leak index in {folder}: make one with `guardrail leaks build CORPUS --out {folder}`.") from error
        try:
            manifest = msgspec.json.decode(raw, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _damaged(folder, f"its {MANIFEST} cannot be read") from error
        if manifest.format != FORMAT or manifest.words.normalisation != NORMALISATION:
            raise ConfigurationError(f"The leak index {folder} was made by another version: make it again with `guardrail leaks build`.")
        expected = {"words.entries", "words.offsets"} | ({"tokens.entries", "tokens.offsets"} if manifest.tokens else set())
        if set(manifest.files) != expected:
            raise _damaged(folder, f"its {MANIFEST} does not name its files")
        for name, entry in manifest.files.items():
            try:
                with (folder / name).open("rb") as file:
                    same = file_digest(file, "sha256").hexdigest() == entry.sha256
            except OSError as error:
                raise _damaged(folder, f"{name} is missing") from error
            if not same:
                raise _damaged(folder, f"{name} is not what was written")
        try:
            words = _table(folder, "words", "<u2", 0)
            tokens = _table(folder, "tokens", "<u4", manifest.tokens.value_bits) if manifest.tokens else None
        except (OSError, ValueError) as error:
            raise _damaged(folder, "its tables do not fit together") from error
        return cls(folder, manifest, sha256(raw).hexdigest(), words=words, tokens=tokens)

    @property
    def bytes(self) -> int:
        """Size of all files but the manifest."""
        return sum(entry.bytes for entry in self.manifest.files.values())


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `leak_index.json` holds: the index's hash and its corpus'."""

    index: str
    corpus: str


def bind(model: Path, index: LeakIndex) -> None:
    """Write the hash of `index` into the model folder: this model was trained on that corpus. Raises ConfigurationError where it cannot be written."""
    binding = Binding(index=index.hash, corpus=index.manifest.corpus.sha256)
    try:
        (model / BINDING).write_bytes(msgspec.json.format(msgspec.json.encode(binding), indent=1) + b"\n")
    except OSError as error:
        raise ConfigurationError(f"The leak index cannot be named in {model} ({error.strerror or error}): give the folder of a model.") from error


def require(model: Path, index: LeakIndex | None) -> None:
    """Raises ConfigurationError where the folder `model` names a leak index and `index` is None or another one. A model that names none takes any."""
    try:
        raw = (model / BINDING).read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"{model / BINDING} cannot be read ({error.strerror or error}): give the file to the user that serves.") from error
    try:
        binding = msgspec.json.decode(raw, type=Binding)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{model / BINDING} is damaged: take it from the finetune run again.") from error
    if index is None:
        raise ConfigurationError(f"The model {model} was trained on a corpus whose leak index is {binding.index[:16]}: name that index in the leak rail.")
    if index.hash != binding.index:
        raise ConfigurationError(
            f"The leak index {index.folder} ({index.hash[:16]}) is not the one of the model {model} ({binding.index[:16]}): give the index of its finetune run."
        )


def _table(folder: Path, name: str, kind: str, value_bits: int) -> GramTable:
    path = folder / f"{name}.entries"
    entries = np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, kind)
    return GramTable(np.asarray(entries), np.fromfile(folder / f"{name}.offsets", "<u4"), value_bits=value_bits)


def _damaged(folder: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"The leak index {folder} is damaged, {what}: make it again with `guardrail leaks build`.")
