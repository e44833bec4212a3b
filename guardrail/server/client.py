"""The other end of one request: reads its body within limits, notices when it leaves, and never waits for it longer than allowed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from guardrail.errors import BudgetExceeded, RequestTooLarge

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import Message, Receive, Scope, Send

    from guardrail.server.envelope import Headers
    from guardrail.settings import ServerSettings

_DISCARDED_BODIES = 8
"""A body over the limit is read on, and thrown away, up to this many times the limit: a client that is still writing would not see the answer."""


class ClientLeft(Exception):
    """Nobody waits for the reply any more."""


class Client:
    """One request's client. `turn` bounds the work done for it; `respond` answers whole, `send` and `end` stream."""

    __slots__ = ("_ended", "_keep_alive", "_lock", "_receive", "_scope", "_send", "_sending_since", "_sent", "_settings", "_stream_headers", "_turn", "started")

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: ServerSettings) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._settings = settings
        self._turn: Turn | None = None
        self._stream_headers: Headers = []
        self._lock = asyncio.Lock()
        self._keep_alive: asyncio.TimerHandle | None = None
        self._sending_since: float | None = None
        self._sent = 0.0
        self._ended = False
        self.started = False
        """Whether the response has begun, so that its status can no longer change."""

    async def body(self) -> bytes:
        """The whole body. Raises RequestTooLarge, HTTPException (408, 415) or ClientLeft."""
        self._check_headers()
        try:
            async with asyncio.timeout(self._settings.budget_seconds):
                return await self._read()
        except TimeoutError:
            raise HTTPException(408, f"The body did not arrive within {self._settings.budget_seconds:g} s.", {"connection": "close"}) from None

    def turn(self) -> Turn:
        """An async context manager around the work for this client.

        Leaving it raises BudgetExceeded where the budget ran out and ClientLeft where the client did; the work inside is cancelled at once.
        """
        return Turn(self, self._receive, self._settings.budget_seconds)

    async def respond(self, status: int, body: bytes, headers: Headers, *, content_type: bytes = b"application/json") -> None:
        """Send a whole response."""
        self._ended = True
        try:
            async with asyncio.timeout(self._settings.send_seconds):
                await self._begin(status, [*headers, (b"content-type", content_type), (b"content-length", b"%d" % len(body))])
                await self._send({"type": "http.response.body", "body": body})
        except TimeoutError:
            await self._abort()

    def stream(self, headers: Headers) -> None:
        """The response will be an event stream. It begins with the first `send`, or with a comment after a long silence; until then an error can still be a status."""
        self._stream_headers = [*headers, (b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        loop = asyncio.get_running_loop()
        self._sent = loop.time()
        self._keep_alive = loop.call_later(self._beat_seconds, self._beat, loop)

    async def send(self, data: bytes, *, more: bool = True) -> None:
        """Send the next piece of the event stream."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            self._sending_since = loop.time()
            if not self.started:
                await self._begin(200, self._stream_headers)
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
            self._sent = loop.time()
            self._sending_since = None

    async def end(self, data: bytes) -> None:
        """Send the last piece of the event stream."""
        self._ended = True
        self.still()
        try:
            async with asyncio.timeout(self._settings.send_seconds):
                await self.send(data, more=False)
        except TimeoutError:
            await self._abort()

    def still(self) -> None:
        """No more comments."""
        if self._keep_alive is not None:
            self._keep_alive.cancel()
            self._keep_alive = None

    async def drop(self) -> None:
        """Close the connection of a client that is gone or takes nothing."""
        self.still()
        self._ended = True
        await self._abort()

    def watched(self, turn: Turn | None) -> None:
        self._turn = turn

    @property
    def ended(self) -> bool:
        """Whether the whole response was handed over."""
        return self._ended

    @property
    def _beat_seconds(self) -> float:
        return min(self._settings.keep_alive_seconds, self._settings.send_seconds) / 2

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs a few times in the longest allowed silence: one timer a stream costs less than one a piece."""
        now = loop.time()
        if self._sending_since is not None:
            if now - self._sending_since > self._settings.send_seconds and self._turn is not None:
                self._turn.client_left()
        elif now - self._sent > self._settings.keep_alive_seconds - self._beat_seconds:
            self._comment = loop.create_task(self.send(b": still working\n\n"))
        self._keep_alive = loop.call_later(self._beat_seconds, self._beat, loop)

    async def _begin(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _abort(self) -> None:
        extension = self._scope.get("extensions", {}).get("guardrail.abort")
        if extension is not None:
            extension["abort"]()
            await asyncio.sleep(0)

    def _check_headers(self) -> None:
        kind = b""
        for name, value in self._scope["headers"]:
            if name == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise HTTPException(415, "Compressed bodies are not read: send the JSON as it is.")
        if kind != b"application/json":
            raise HTTPException(415, "The body must be JSON: send the header content-type: application/json.")

    async def _read(self) -> bytes:
        limit = self._settings.body_bytes
        message = await self._next()
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False) and len(body) <= limit:
            return body
        pieces, size = [body], len(body)
        while message.get("more_body", False):
            message = await self._next()
            piece = message.get("body", b"")
            size += len(piece)
            if size <= limit:
                pieces.append(piece)
            elif size > limit * _DISCARDED_BODIES:
                break
            else:
                pieces.clear()
        if size > limit:
            raise RequestTooLarge(f"The body has more than {limit} bytes, which is the limit: shorten it.")
        return b"".join(pieces)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return message


class Turn:
    """One scope that three things can end: its own work, the budget, and the client's leaving."""

    __slots__ = ("_client", "_left", "_receive", "_scope", "_watch")

    def __init__(self, client: Client, receive: Receive, budget_seconds: float) -> None:
        self._client = client
        self._receive = receive
        self._scope = asyncio.timeout(budget_seconds)
        self._left = False

    async def __aenter__(self) -> Turn:
        await self._scope.__aenter__()
        self._watch = asyncio.get_running_loop().create_task(self._watch_client())
        self._client.watched(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._client.watched(None)
        self._watch.cancel()
        budget = self._scope
        try:
            await budget.__aexit__(kind, error, traceback)
        except TimeoutError:
            if self._left:
                raise ClientLeft from None
            raise BudgetExceeded("The turn took longer than its budget: ask for less, or try again when the server is less busy.") from None

    def client_left(self) -> None:
        """Cancel the work: nobody waits for it."""
        if not self._left and not self._client.ended:
            self._left = True
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def _watch_client(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.client_left()
                return
