"""One server process on one core: started, timed until it is ready, and its use of CPU and memory read from `/proc` (Linux)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 60.0


def cores() -> tuple[set[int], set[int]]:
    """The core of the server under test, and those of everything else; the same one where there is only one."""
    first, *rest = sorted(os.sched_getaffinity(0))
    return {first}, set(rest) or {first}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A context manager: the process runs inside it."""

    def __init__(self, command: Sequence[str], *, port: int, affinity: set[int], ready: str, log: Path) -> None:
        """`ready` is a path that answers 200 when the server can work; `log` takes what it writes."""
        self.port = port
        self._command = command
        self._affinity = affinity
        self._ready = ready
        self._log = log
        self.start_seconds = 0.0
        """From the start of the process until it was ready."""

    def __enter__(self) -> Server:
        began = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(["taskset", "-c", ",".join(map(str, self._affinity)), *self._command], stdout=log, stderr=log)
        while not self._is_ready():
            if self._process.poll() is not None or time.perf_counter() - began > _PATIENCE:
                self._process.kill()
                raise RuntimeError(f"{' '.join(self._command)} did not start:\n{self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)
        self.start_seconds = time.perf_counter() - began
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far, all threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory_mib(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def _is_ready(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        with suppress(OSError, HTTPException):
            connection.request("GET", self._ready)
            return connection.getresponse().status == 200
        return False
