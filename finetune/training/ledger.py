"""What was measured at which step, in a file of its own, so that a stage that was killed does not forget it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement."""

    step: int
    values: dict[str, float]


class Ledger:
    """Measurements of one kind, in ascending order of their steps. What is measured again takes the place of what was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[int, Entry] = {}
        if path.is_file():
            for line in path.read_bytes().splitlines():
                with suppress(msgspec.DecodeError):  # the process was killed while it wrote this line
                    entry = msgspec.json.decode(line, type=Entry)
                    self._entries[entry.step] = entry

    def __contains__(self, step: int) -> bool:
        return step in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries[step] for step in sorted(self._entries))

    def add(self, step: int, values: Mapping[str, float], *, write: bool = True) -> None:
        """`write`: whether this process is the one that writes; the others only remember."""
        entry = Entry(step=step, values=dict(values))
        self._entries[step] = entry
        if write:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(b"\n" + msgspec.json.encode(entry))  # the break comes first, so that half a line spoils no other

    def line(self, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Steps and the values of `name`, for a curve."""
        found = [(float(entry.step), entry.values[name]) for entry in self.entries if name in entry.values]
        return tuple(step for step, _ in found), tuple(value for _, value in found)
