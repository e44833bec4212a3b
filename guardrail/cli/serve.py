"""`guardrail serve`: the HTTP server and the web chat."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from guardrail.cli.opening import config_option

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType


@click.command()
@click.option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 lets other machines in.  [default: the configuration's, 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="0 takes any free one.  [default: the configuration's, 8000]")
@config_option
def serve(host: str | None, port: int | None, config: Path | None) -> None:
    """Start the HTTP server, and the web chat at /. Ctrl-C or SIGTERM lets running replies finish and stops; SIGHUP reads the configuration again."""
    # Read when numpy is loaded. Its products here are small, so sharing one out among cores doubles a turn's CPU and saves no time; turns run side by side.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from guardrail import settings

    chosen = settings.load(config)  # before the server is imported: a mistake is told at once
    from guardrail.server.run import serve as run

    # Once it has shut down, uvicorn raises again the signal that told it to: for this command that is a job well done, not a death.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with suppress(KeyboardInterrupt):
            run(chosen, host=host or chosen.server.host, port=chosen.server.port if port is None else port, source=config)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
