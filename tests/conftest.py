"""What several areas share: one default guardrail, and one server in front of it."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail import Guardrail


@pytest.fixture(scope="session")
def default_guard() -> Iterator[Guardrail]:
    """The embedded default, loaded once."""
    from guardrail import Guardrail

    guard = Guardrail.default()
    yield guard
    guard.close()


@pytest.fixture(scope="session")
def default_server() -> Iterator[str]:
    """Base URL of a real server over the embedded default."""
    import uvicorn

    from guardrail import Guardrail, create_app

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(Guardrail.default()), log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="default-server")
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
