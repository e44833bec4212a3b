"""What a stage measures while it runs: `metrics.jsonl` in its folder, and how far it is on standard error."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

METRICS = "metrics.jsonl"
_BAR = 24
_QUIET_SECONDS = 5.0
"""Between two lines where standard error is no terminal."""
_SHOWN_SECONDS = 0.1
"""Between two drawings of the bar."""


class StageMetrics:
    """Appends to `metrics.jsonl` and shows progress on `stream`. Use as a context manager."""

    def __init__(self, folder: Path, stage: str, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        """A line that a killed process left half-written is cut off first."""
        path = folder / METRICS
        if path.is_file():
            raw = path.read_bytes()
            if not raw.endswith(b"\n"):
                path.write_bytes(raw[: raw.rfind(b"\n") + 1])
        self._file = path.open("ab")
        self._bar = ProgressLine(stage, stream, clock=clock)

    def __enter__(self) -> StageMetrics:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.end()
        self._file.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Values that are no number are written as null."""
        self._file.write(msgspec.json.encode({"step": step, "time": round(time.time(), 3)} | {name: float(value) for name, value in values.items()}) + b"\n")
        self._file.flush()

    def progress(self, done: int, total: int, note: str = "") -> None:
        self._bar.show(done, total, note)


class SilentMetrics:
    """For all processes of a stage but the first."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Nothing."""


class ProgressLine:
    """A bar with rate and time left on a terminal, else a line every few seconds."""

    def __init__(self, name: str, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._began: tuple[float, int] | None = None
        self._said = -math.inf
        self._open = False

    def show(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps. The rate is of what was done since the first call, so a resumed stage does not look fast."""
        now = self._clock()
        if self._began is None or done < self._began[1]:
            self._began = (now, done)
        last = done >= total
        if now - self._said < (_SHOWN_SECONDS if self._terminal else _QUIET_SECONDS) and not last:
            return
        self._said = now
        rate = (done - self._began[1]) / (now - self._began[0]) if now > self._began[0] else 0.0
        parts = [f"{done:,}/{total:,}"]
        if rate > 0:
            parts.append(f"{rate:,.1f}/s" if rate >= 1 else f"{1 / rate:,.1f} s each")
            parts.append("done" if last else f"{duration((total - done) / rate)} left")
        if note:
            parts.append(note)
        text = f"{self._name}  {'  '.join(parts)}"
        if self._terminal:
            filled = round(_BAR * min(1.0, done / total)) if total else 0
            self._stream.write(f"\r\x1b[2K{self._name}  {'█' * filled}{'░' * (_BAR - filled)}  {'  '.join(parts)}")
            self._open = True
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line that the bar stands on."""
        if self._open:
            self._stream.write("\n")
            self._stream.flush()
            self._open = False


def duration(seconds: float) -> str:
    """`1:02:03`, `4:05`, `12 s`, `0.3 s`."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def read(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    """By name what was measured, as (step, value); of a step that was done again the last value. Lines that cannot be read are left out."""
    found: dict[str, dict[float, float]] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            row: Any = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            continue
        for name, value in row.items():
            if name not in {"step", "time"} and isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(name, {})[row["step"]] = value
    return {name: tuple(sorted(values.items())) for name, values in found.items()}
