"""The tensors of a safetensors file as float32, without torch; NumPy has no bfloat16 of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from guardrail.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TYPES = {"BF16": "<u2", "F16": "<f2", "F32": "<f4"}
_LONGEST_HEADER = 100_000_000
"""Bytes, as the format sets it."""


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class Weights:
    """An open safetensors file: 8 bytes with the length of the header, the header as JSON, the tensors. They are read when they are asked for."""

    __slots__ = ("_bytes", "_entries", "_path")

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError where the file is missing or damaged."""
        self._path = path
        try:
            raw = np.memmap(path, np.uint8, mode="r")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} cannot be read ({error}): give the folder of a model whose weights are one safetensors file.") from None
        size = int.from_bytes(raw[:8].tobytes(), "little")
        try:
            if not 0 < size <= min(_LONGEST_HEADER, len(raw) - 8):
                raise ValueError("its header is cut off")
            header = msgspec.json.decode(raw[8 : 8 + size].tobytes(), type=dict[str, msgspec.Raw])
            header.pop("__metadata__", None)
            self._entries = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in header.items()}
        except ValueError as error:
            raise ConfigurationError(f"{path} is no safetensors file, or is damaged ({error}): save the model again.") from None
        self._bytes = raw[8 + size :]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A tensor of that shape, C-contiguous and our own copy. Raises ConfigurationError where it is missing, of another shape or type, or no numbers."""
        entry = self._entries.get(name)
        if entry is None:
            raise ConfigurationError(f"{self._path} has no tensor {name}: it is not a whole Lfm2 model.")
        if entry.shape != shape:
            raise ConfigurationError(f"{self._path}: the tensor {name} has the shape {list(entry.shape)}, and by config.json it is {list(shape)}.")
        kind = _TYPES.get(entry.dtype)
        if kind is None:
            raise ConfigurationError(f"{self._path}: the tensor {name} is {entry.dtype}; save the model as bfloat16, float16 or float32.")
        first, end = entry.data_offsets
        if not 0 <= first <= end <= len(self._bytes) or end - first != math.prod(shape) * np.dtype(kind).itemsize:
            raise ConfigurationError(f"{self._path} is damaged where the tensor {name} should stand: save the model again.")
        stored = self._bytes[first:end].view(kind)
        values = np.empty(len(stored), np.float32)
        if entry.dtype == "BF16":  # the upper half of a float32
            np.left_shift(stored, 16, out=values.view(np.uint32), dtype=np.uint32)
        else:
            values[:] = stored
        if not np.isfinite(values).all():
            raise ConfigurationError(f"{self._path}: the tensor {name} holds values that are no numbers; take an earlier state of the model.")
        return values.reshape(shape)
