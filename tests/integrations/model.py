"""The probe's fake model, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from guardrail.probe.script import Script
from guardrail.probe.upstream import Upstream, played
from tests.server.served import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def saying(*pieces: str) -> Script:
    """A model that says this, piece by piece."""
    return Script(name="said", before="", after="", pieces=pieces)


@contextmanager
def running(upstream: Upstream, port: int) -> Iterator[str]:
    """The base URL of `upstream` while it runs."""
    address: list[str] = []
    up, down = threading.Event(), threading.Event()

    async def serve() -> None:
        async with played(upstream, host="127.0.0.1", port=port) as url:
            address.append(url)
            up.set()
            await wait_for(down)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="fake-model")
    thread.start()
    assert up.wait(PATIENCE), "the fake model did not start"
    try:
        yield address[0]
    finally:
        down.set()
        thread.join(PATIENCE)
