"""Server-sent events out of bytes that may be split anywhere (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

LIMIT = 1 << 20
"""Most bytes of one event."""


class EventStream:
    """The `data` of each event, as bytes; lines end in CR, LF or CRLF, comments and other fields are left out.

    Nothing is decoded before an event is whole, so a character that is split over two reads comes out unharmed.
    """

    __slots__ = ("_data", "_rest", "_size", "_skip_newline", "_started")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._skip_newline = False
        self._started = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, in order. Raises ValueError for an event of more than LIMIT bytes."""
        if self._skip_newline and chunk:
            self._skip_newline = False
            chunk = chunk.removeprefix(b"\n")
        buffer = self._rest + chunk if self._rest else chunk
        if not self._started and buffer:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._rest = buffer
                return []
            self._started = True
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        if b"\r" in buffer:
            # A CR that ends the chunk ends its line now; should the next chunk begin with LF, the two are one line end.
            self._skip_newline = buffer.endswith(b"\r")
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = buffer.split(b"\n")
        self._rest = lines.pop()
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value)
                self._size += len(value)
            elif not line:
                if self._data:
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data = []
                    self._size = 0
            elif line == b"data":
                self._data.append(b"")
        if self._size + len(self._rest) > LIMIT:
            raise ValueError(f"an event of more than {LIMIT} bytes")
        return events
