"""`guardrail serve`: binds, then loads while it already listens, and says when it is ready."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn

from guardrail.assemble import Guardrail
from guardrail.errors import ConfigurationError, GuardrailError, LibraryError
from guardrail.server.app import App, create_app
from guardrail.server.connection import Connection
from guardrail.server.logs import log_to_stderr

if TYPE_CHECKING:
    from pathlib import Path

    from guardrail.settings import Settings

_BACKLOG = 2048
_ALLOCATIONS = 20_000
"""Objects made, less those freed, before the garbage collector looks for cycles among them."""


def serve(settings: Settings, *, host: str, port: int, source: Path | None = None) -> None:
    """Serve until interrupted; running streams may finish within `server.shutdown_seconds`. SIGHUP reads the configuration file `source` again.

    Raises ConfigurationError where the address cannot be bound, and the GuardrailError that keeps the library or a model from loading.
    """
    app = create_app(Guardrail(settings, source=source))
    with _bind(host, port) as listener:
        log_to_stderr()
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=Connection,
                loop="uvloop" if sys.platform != "win32" else "asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=math.ceil(settings.server.shutdown_seconds),
            )
        )
        loop_factory = server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            failure = runner.run(_serve(server, app, listener, f"http://{_shown(host)}:{listener.getsockname()[1]}"))
    if failure is not None:
        raise failure


async def _serve(server: uvicorn.Server, app: App, listener: socket.socket, address: str) -> GuardrailError | None:
    """Run the server; the error that ended it, if one did."""
    watch = asyncio.create_task(_watch(server, app, address))
    reloads: set[asyncio.Task[None]] = set()
    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: reloads.add(asyncio.create_task(_reload(app))))
    await server.serve(sockets=[listener])
    if not watch.done():
        watch.cancel()
        return None
    return watch.result()


async def _reload(app: App) -> None:
    """Go over to what the configuration file says now; where that is wrong, say so and go on as before."""
    try:
        await app.guard.reload()
    except GuardrailError as error:
        print(f"guardrail: not reloaded, the old configuration stays: {error}", file=sys.stderr, flush=True)
    else:
        print(f"guardrail has reloaded its configuration ({app.guard.config_hash})", file=sys.stderr, flush=True)


async def _watch(server: uvicorn.Server, app: App, address: str) -> GuardrailError | None:
    """Say when the app is ready. A library or a configuration that cannot be loaded ends the server; a model that is down may come up."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
        await asyncio.sleep(0.01)
    try:
        await app.startup.wait()
    except (ConfigurationError, LibraryError) as error:
        server.should_exit = True
        return error
    except GuardrailError as error:
        print(f"guardrail: {error} It is tried again with each request; listening at {address}", file=sys.stderr, flush=True)
        return None
    _settle()
    print(f"guardrail is ready at {address}", file=sys.stderr, flush=True)
    return None


def _settle() -> None:
    """What is loaded stays, so the garbage collector need not look at it again; and looking after every few requests in place of every one saves a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 20)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigurationError(f"The host {host} is not an address of this machine; try 127.0.0.1.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"Port {port} on {host} cannot be opened ({error.strerror or error}); choose another with --port.") from None
    return listener


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
