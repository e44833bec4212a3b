"""uvicorn's HTTP connection, with a way to close it that does not wait for a client that takes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from guardrail.server.client import ABORT

if TYPE_CHECKING:
    from uvicorn._types import HTTPScope


class Connection(HttpToolsProtocol):
    """Offers the ASGI extension `ABORT`.

    ASGI itself has no such thing: when an app returns early, its connection is closed only after all that was written is taken, and a stalled client takes
    nothing.
    """

    scope: HTTPScope

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}
