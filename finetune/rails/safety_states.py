"""What the encoder's lower three layers say of the training texts, kept on disk: they never change, so neither a second try nor a broken run asks again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from guardrail.finetune.rails.encoder_layers import HIDDEN, Lower

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.index.encoder import MiniLM

BATCH_TOKENS = 8192
"""Most tokens of one pass, with the padding."""
ENTRY = np.dtype([("key", "S16"), ("start", "<i8"), ("length", "<i8")])
"""One text: its key, where its tokens begin in the file of values, and how many they are."""
TEXTS_AT_ONCE = 2048
"""After so many texts what is done is on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """What the lower layers say of many texts."""

    values: torch.Tensor
    """(tokens, 384), bfloat16."""
    starts: NDArray[np.int64]
    """The row in which each text begins, (texts,)."""
    lengths: NDArray[np.int64]
    """How many rows each text has, (texts,)."""

    def batch(self, numbers: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """States (batch, length, 384), padded, and their mask (batch, length)."""
        lengths = [int(self.lengths[i]) for i in numbers]
        states = torch.zeros(len(numbers), max(lengths), HIDDEN, dtype=torch.bfloat16)
        mask = torch.zeros(len(numbers), max(lengths), dtype=torch.bool)
        for place, (i, length) in enumerate(zip(numbers, lengths, strict=True)):
            states[place, :length] = self.values[self.starts[i] : self.starts[i] + length]
            mask[place, :length] = True
        return states, mask


class LowerLayers:
    """The encoder's embeddings and lower layers in torch, and a folder that remembers what they said."""

    def __init__(self, encoder: MiniLM, weights: dict[str, NDArray[np.float32]], folder: Path) -> None:
        """weights: the encoder's own, by name. `folder` is made where it is missing."""
        self._encoder = encoder
        self._lower = Lower(weights)
        folder.mkdir(parents=True, exist_ok=True)
        self._values, self._index = folder / "states.bin", folder / "states.index"

    def states(self, texts: Sequence[str]) -> States:
        """What the lower layers say of the first window of each text; only texts that the folder does not know are computed."""
        keys = [hashlib.sha256(f"{self._encoder.fingerprint} {text}".encode(errors="replace")).digest()[:15] + b"." for text in texts]
        known = self._known()
        missing = [*{key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items()]
        for first in range(0, len(missing), TEXTS_AT_ONCE):
            self._add(missing[first : first + TEXTS_AT_ONCE])
            print(f"lower layers: {min(first + TEXTS_AT_ONCE, len(missing))}/{len(missing)} texts", flush=True)
        known = self._known()
        places = np.array([known[key] for key in keys], np.int64).reshape(-1, 2)
        values = torch.from_file(str(self._values), dtype=torch.bfloat16, size=self._values.stat().st_size // 2)
        return States(values=values.view(-1, HIDDEN), starts=places[:, 0], lengths=places[:, 1])

    def _known(self) -> dict[bytes, tuple[int, int]]:
        if not self._index.exists():
            return {}
        raw = self._index.read_bytes()
        entries = np.frombuffer(raw[: len(raw) - len(raw) % ENTRY.itemsize], ENTRY)
        return {key: (start, length) for key, start, length in zip(entries["key"].tolist(), entries["start"].tolist(), entries["length"].tolist(), strict=True)}

    def _add(self, texts: Sequence[tuple[bytes, str]]) -> None:
        """Append what the layers say of the texts; the index is written last, so that a broken run leaves no entry without its values."""
        known = self._known()
        end = max((start + length for start, length in known.values()), default=0)
        ids = [self._encoder.token_ids(text) for _, text in texts]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in ids])])
        values = self._computed(ids, starts)
        entries = np.array([(key, end + start, len(one)) for (key, _), start, one in zip(texts, starts.tolist(), ids, strict=False)], ENTRY)
        with self._values.open("r+b" if self._values.exists() else "wb") as file:
            file.truncate(end * HIDDEN * 2)
            file.seek(0, 2)
            file.write(values.view(torch.int16).numpy().tobytes())
        with self._index.open("r+b" if self._index.exists() else "wb") as file:
            file.truncate(len(known) * ENTRY.itemsize)
            file.seek(0, 2)
            file.write(entries.tobytes())

    def _computed(self, ids: Sequence[NDArray[np.int32]], starts: NDArray[np.int64]) -> torch.Tensor:
        """(tokens of all texts, 384), bfloat16."""
        values = torch.empty(int(starts[-1]), HIDDEN, dtype=torch.bfloat16)
        for numbers in batches([len(one) for one in ids], BATCH_TOKENS):
            found, _ = self._lower([ids[i] for i in numbers])
            for place, i in enumerate(numbers):
                values[starts[i] : starts[i + 1]] = found[place, : len(ids[i])]
        return values


def batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Numbers of texts in batches of like length, at most `tokens` with the padding."""
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if found and lengths[i] * (len(found[-1]) + 1) <= tokens:
            found[-1].append(i)
        else:
            found.append([i])
    return found
