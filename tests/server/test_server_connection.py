"""The head of a response and its body leave together; a head alone leaves too."""

from __future__ import annotations

import asyncio

import pytest

from guardrail.server.connection import HeadWithBody

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class _Answering(asyncio.Protocol):
    """Writes the pieces as soon as somebody connects, and keeps what the transport below was given."""

    def __init__(self, pieces: tuple[bytes, ...], *, close: bool) -> None:
        self.sent: list[bytes] = []
        self._pieces = pieces
        self._close = close

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        below = transport.write

        def write(data: bytes) -> None:
            self.sent.append(data)
            below(data)

        transport.write = write  # type: ignore[method-assign, assignment]  # looks on, changes nothing
        joined = HeadWithBody(transport)
        for piece in self._pieces:
            joined.write(piece)
        if self._close:
            joined.close()


async def received(pieces: tuple[bytes, ...], *, close: bool = False) -> tuple[bytes, list[bytes]]:
    """What a client gets of `pieces`, and what was written at once."""
    loop = asyncio.get_running_loop()
    protocol = _Answering(pieces, close=close)
    server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        found = await asyncio.wait_for(reader.readexactly(len(b"".join(pieces))), 10)
        writer.close()
    return found, protocol.sent


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("pieces", [(HEAD,), (HEAD, b"body"), (HEAD, b"one", b"HTTP/1.1 two"), (HEAD, b"body", HEAD, b"next")])
async def test_everything_arrives_in_order(pieces: tuple[bytes, ...], close: bool) -> None:
    found, _ = await received(pieces, close=close)
    assert found == b"".join(pieces)


async def test_head_and_body_are_one_write() -> None:
    _, sent = await received((HEAD, b"body", b"more"))
    assert sent == [HEAD + b"body", b"more"]
