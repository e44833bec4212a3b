"""A reply sent piece by piece, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from guardrail.server.client import ClientLeft

if TYPE_CHECKING:
    from guardrail.server.client import Client, Turn
    from guardrail.server.envelope import Headers

DONE = b"data: [DONE]\n\n"


class EventStream:
    """Begins with the first piece, or with a comment after a long silence; until then an error can still be a status.

    A client that takes nothing for `send_seconds` ends its turn: `send` and `end` raise ClientLeft.
    """

    __slots__ = ("_beat_seconds", "_client", "_comment", "_ended", "_headers", "_lock", "_loop", "_sent", "_timer", "_turn", "started")

    def __init__(self, client: Client, turn: Turn, headers: Headers) -> None:
        self._client = client
        self._turn = turn
        self._headers = [*headers, (b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._sent = self._loop.time()
        self._ended = False
        self.started = False
        """Whether the response has begun, so that its status can no longer change."""
        self._beat_seconds = client.settings.keep_alive_seconds / 4
        self._timer = self._loop.call_later(self._beat_seconds, self._beat)

    async def send(self, data: bytes) -> None:
        """Send whole events."""
        async with self._lock:
            await self._write(data, more=True)

    async def end(self, data: bytes) -> None:
        """Send the last events."""
        self.close()
        self._turn.complete = True
        async with self._lock:
            await self._write(data, more=False)

    def close(self) -> None:
        """No more comments."""
        self._ended = True
        self._timer.cancel()

    async def _write(self, data: bytes, *, more: bool) -> None:
        if not self.started:
            self.started = True
            await self._client.send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await self._client.send({"type": "http.response.body", "body": data, "more_body": more})
        self._sent = self._loop.time()

    def _beat(self) -> None:
        # One timer a stream, which looks a few times in every silence, costs less than one a piece.
        if not self._lock.locked() and self._loop.time() - self._sent >= self._client.settings.keep_alive_seconds:
            self._comment = self._loop.create_task(self._still_here())
        self._timer = self._loop.call_later(self._beat_seconds, self._beat)

    async def _still_here(self) -> None:
        try:
            async with self._lock:
                if not self._ended:
                    await self._write(b": still working\n\n", more=True)
        except ClientLeft:
            self._turn.client_left()
