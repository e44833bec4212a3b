"""uvicorn's HTTP connection: it can be closed without waiting for a client that takes nothing, asks ahead within bounds, and sends a response at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from guardrail.server.client import ABORT

if TYPE_CHECKING:
    from uvicorn._types import HTTPScope

_STATUS_LINE = b"HTTP/1.1 "
_AT_ONCE = 16_384
"""Bytes that are parsed before it is looked whether requests wait already."""


class Connection(HttpToolsProtocol):
    """Offers the ASGI extension `ABORT`, and reads no further while a request waits for the reply to an earlier one.

    ASGI itself has no such thing as `ABORT`: when an app returns early, its connection is closed only after all that was written is taken, and a stalled
    client takes nothing. And uvicorn reads on after every reply, so that a client that sends requests faster than it takes replies fills the memory.
    """

    scope: HTTPScope
    _unread = b""
    """What came and is not parsed yet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", HeadWithBody(transport))

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._parse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()
        else:
            self._parse()

    def _parse(self) -> None:
        while self._unread and not self.pipeline and not self.transport.is_closing():
            piece, self._unread = self._unread[:_AT_ONCE], self._unread[_AT_ONCE:]
            super().data_received(piece)


class HeadWithBody:
    """A transport that sends the head of a response together with what follows it at once: two packets cost nearly twice the time of one."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_STATUS_LINE):
            self._head = data
            self._loop.call_soon(self._send_head)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._send_head()
        self._transport.close()

    def _send_head(self) -> None:
        """Send a head that nothing has followed."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
