"""The weights of the safety branch: a finetuned copy of the encoder's upper three layers, stored as its difference from them.

A weight matrix W (out, in) is kept as eight-bit numbers D and one scale a row: W = W0 + scale * D, where W0 is the encoder's own. Biases and norms are
kept as half-precision differences. So the file is a quarter of the layers' size, and what rounding costs is a 254th of the largest change in a row.
"""

from __future__ import annotations

import hashlib
import mmap
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from guardrail.errors import LibraryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_SCALE = ".scale"


def pack(learned: Mapping[str, NDArray[np.float32]], own: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
    """`learned` weights as they are stored, against the encoder's `own` of the same names."""
    stored: dict[str, NDArray[np.generic]] = {}
    for name, values in learned.items():
        change = values - own[name]
        if change.ndim == 1:
            stored[name] = change.astype(np.float16)
            continue
        scale = np.maximum(np.abs(change).max(axis=1) / 127.0, 1e-12).astype(np.float32)
        stored[name] = np.rint(change / scale[:, None]).astype(np.int8)
        stored[name + _SCALE] = scale
    return stored


def unpack(stored: Mapping[str, NDArray[np.generic]], own: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The learned weights in float32. Raises KeyError or ValueError where `stored` does not fit `own`."""
    names = [name for name in stored if not name.endswith(_SCALE)]
    # One mapping for all: it goes back to the system with the last view of it, while as many small arrays would stay with the process.
    buffer = mmap.mmap(-1, max(4 * sum(own[name].size for name in names), 1))
    learned, place = {}, 0
    for name in names:
        weight = np.frombuffer(buffer, np.float32, own[name].size, place).reshape(own[name].shape)
        place += weight.nbytes
        if stored[name].shape != weight.shape:
            raise ValueError(name)
        weight[...] = stored[name]
        if weight.ndim == 2:
            weight *= stored[name + _SCALE][:, None].astype(np.float32)
        weight += own[name]
        learned[name] = weight
    return learned


def load(path: Path, own: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The branch's weights under the names of the encoder's. Raises LibraryError where the file is missing or damaged."""
    try:
        learned = unpack(safetensors.numpy.load(path.read_bytes()), own)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise LibraryError(f"The safety branch {path.name} cannot be read: make it again with `python -m guardrail.finetune.rails.safety`.") from error
    if set(learned) != set(own):
        raise LibraryError(f"The safety branch {path.name} lacks layers: make it again with `python -m guardrail.finetune.rails.safety`.")
    return learned


def fingerprint(path: Path) -> str:
    """SHA-256 of the file; heads remember which branch they were made for. Raises LibraryError where the file is missing."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise LibraryError(f"The safety branch {path.name} cannot be read: make it again with `python -m guardrail.finetune.rails.safety`.") from error
