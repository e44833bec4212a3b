"""A file of JSON lines that only grows."""

from __future__ import annotations

import os

import msgspec

from guardrail.errors import ConfigurationError

_encode = msgspec.json.Encoder().encode


class AppendLog:
    """Appends to the file at `path`. Each line is written at once, so several processes may share a file; only its owner can read it.

    The file may be moved away by log rotation: the next line makes a new one.
    """

    def __init__(self, path: str, *, setting: str) -> None:
        """Raises ConfigurationError, which names the `setting`, where the file cannot be opened for appending."""
        self.path = path
        try:
            os.close(self._opened())
        except OSError as error:
            raise ConfigurationError(f"{setting}: {path} cannot be written ({error.strerror}).") from None

    def write(self, line: object) -> None:
        """One more line. Raises OSError."""
        file = self._opened()
        try:
            os.write(file, _encode(line) + b"\n")
        finally:
            os.close(file)

    def _opened(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
