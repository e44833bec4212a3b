"""A set of 64-bit keys in two to four bytes each: sorted fingerprints in buckets, on disk and mapped into memory.

A key's first bits are the number of its bucket and are not stored (quotienting, Knuth 6.4 exercise 13; Bender et al. 2012); of the rest, 16 bits stay, or 32
less the bits of a value. With 32 keys a bucket a table of 16-bit entries takes 2.13 bytes a key and finds a key that it does not hold once in 2,000 times
(a bucket of 32 keys over 65,536 remainders); a Bloom filter of that size would do a little better, but holds no values and cannot be listed.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from numpy.typing import NDArray

    from guardrail.leaks.grams import Hashes

_MEAN = 32
"""Keys a bucket."""
_PARTS = 6
"""The keys wait for their end in 2 ** 6 files, so that a corpus of any size is sorted in little memory."""
_HELD = 1 << 20
"""Keys held in memory before they are written out."""


class GramTable:
    """Keys with a value of `value_bits` bits (0: none) in the lowest bits of a key's place; `entries` are 16 or 32 bits wide."""

    __slots__ = ("_entries", "_offsets", "_quotient", "_remainder", "_value_bits")

    def __init__(self, entries: NDArray[np.uint16] | NDArray[np.uint32], offsets: NDArray[np.uint32], *, value_bits: int) -> None:
        """entries: (n,), sorted in each bucket; offsets: (2 ** b + 1,), where each bucket begins. Raises ValueError where they do not fit together."""
        self._quotient = (len(offsets) - 1).bit_length() - 1
        if len(offsets) != (1 << self._quotient) + 1 or int(offsets[-1]) != len(entries) or int(offsets[0]) != 0:
            raise ValueError("offsets and entries do not fit")
        self._entries = entries
        self._offsets = offsets
        self._value_bits = value_bits
        self._remainder = entries.dtype.itemsize * 8 - value_bits

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def false_positives(self) -> float:
        """How often a key that is not in the table is found: keys a bucket over remainders."""
        return len(self) / (len(self._offsets) - 1) / (1 << self._remainder)

    def holds(self, keys: Hashes) -> NDArray[np.bool_]:
        """Which of `keys`, shape (m,), are in the table."""
        if not len(keys) or not len(self):
            return np.zeros(len(keys), np.bool_)
        buckets, remainders = self._places(keys)
        starts, ends = self._offsets[buckets].astype(np.int64), self._offsets[buckets + 1].astype(np.int64)
        low, high = starts.copy(), ends.copy()
        while True:  # one binary search for all
            open_ = low < high
            if not open_.any():
                break
            middle = (low + high) >> 1
            below = open_ & ((self._entries[np.minimum(middle, len(self) - 1)] >> self._value_bits) < remainders)
            low = np.where(below, middle + 1, low)
            high = np.where(open_ & ~below, middle, high)
        found: NDArray[np.bool_] = (low < ends) & ((self._entries[np.minimum(low, len(self) - 1)] >> self._value_bits) == remainders)
        return found

    def values(self, key: int) -> list[int]:
        """The values that stand beside `key`; none where it is not in the table."""
        shift = 64 - self._quotient
        bucket = key >> shift if self._quotient else 0
        remainder = (key & ((1 << shift) - 1)) >> (shift - self._remainder)
        low, high = int(self._offsets[bucket]), int(self._offsets[bucket + 1])
        entries = self._entries[low:high]
        start, end = np.searchsorted(entries, np.array([remainder << self._value_bits, ((remainder + 1) << self._value_bits) - 1], entries.dtype))
        mask = (1 << self._value_bits) - 1
        last = end + 1 if end < len(entries) and int(entries[end]) >> self._value_bits == remainder else end
        return [int(entry) & mask for entry in entries[start:last]]

    def _places(self, keys: Hashes) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        buckets = (keys >> np.uint64(64 - self._quotient)).astype(np.int64) if self._quotient else np.zeros(len(keys), np.int64)
        remainders = (keys << np.uint64(self._quotient)) >> np.uint64(64 - self._remainder)
        return buckets, remainders


class TableWriter:
    """Takes keys in any order, each any number of times, and writes a table. A context manager: what waits on disk goes when it ends.

    Holds about a million keys, and at the end a sixty-fourth of all.
    """

    def __init__(self, *, entry_bits: int, value_bits: int = 0) -> None:
        self._entry_bits = entry_bits
        self._value_bits = value_bits
        self._waiting: list[Hashes] = []
        self._count = 0
        self._folder = Path(tempfile.mkdtemp(prefix="guardrail-leaks-"))

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, keys: Hashes, values: Hashes | None = None) -> None:
        """keys: (n,); values: (n,), below 2 ** value_bits."""
        if values is not None:
            mask = np.uint64((1 << self._value_bits) - 1)
            keys = (keys & ~mask) | values
        self._waiting.append(keys)
        self._count += len(keys)
        if self._count >= _HELD:
            self._spill()

    def write(self, entries: Path, offsets: Path) -> int:
        """Write the two arrays as raw little-endian numbers; returns how many keys there are."""
        self._spill()
        total = sum(len(keys) for keys in self._parts(settle=True))
        quotient = max(0, (max(1, total) // _MEAN).bit_length() - 1)
        remainder = self._entry_bits - self._value_bits
        sizes = np.zeros((1 << quotient) + 1, np.uint32)
        with entries.open("wb") as out:
            for keys in self._parts(settle=False):
                buckets = (keys >> np.uint64(64 - quotient)).astype(np.int64) if quotient else np.zeros(len(keys), np.int64)
                values = keys & np.uint64((1 << self._value_bits) - 1)
                kept = (((keys << np.uint64(quotient)) >> np.uint64(64 - remainder)) << np.uint64(self._value_bits)) | values
                # Keys that differ only in bits that are not stored have become one, and the values of such keys must be in order.
                places = np.unique((buckets.astype(np.uint64) << np.uint64(self._entry_bits)) | kept)
                first = int(buckets[0])
                found = np.bincount((places >> np.uint64(self._entry_bits)).astype(np.int64) - first)
                sizes[first + 1 : first + 1 + len(found)] += found.astype(np.uint32)
                out.write(places.astype(f"<u{self._entry_bits // 8}").tobytes())
        ends = np.cumsum(sizes, dtype=np.uint32)
        ends.astype("<u4").tofile(offsets)
        return int(ends[-1])

    def _spill(self) -> None:
        if not self._waiting:
            return
        keys = np.unique(np.concatenate(self._waiting))
        self._waiting, self._count = [], 0
        edges = np.searchsorted(keys, np.arange(1, 1 << _PARTS, dtype=np.uint64) << np.uint64(64 - _PARTS))
        for number, part in enumerate(np.split(keys, edges)):
            if len(part):
                with (self._folder / f"{number}.keys").open("ab") as file:
                    file.write(part.tobytes())

    def _parts(self, *, settle: bool) -> Iterator[Hashes]:
        """The keys of each part in ascending order, no key twice; `settle` sorts the files for the next time."""
        for number in range(1 << _PARTS):
            path = self._folder / f"{number}.keys"
            if path.exists():
                keys = np.fromfile(path, np.uint64)
                if settle:
                    keys = np.unique(keys)
                    keys.tofile(path)
                yield keys
