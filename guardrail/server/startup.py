"""Loads a Guardrail once, in the background, however many requests wait for it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from guardrail.errors import GuardrailError

if TYPE_CHECKING:
    from guardrail.assemble import Guardrail

log = logging.getLogger("guardrail.server")

_PAUSE_SECONDS = 2.0
"""After a failed start, how long its reason answers requests before another start is tried."""


class NotReady(GuardrailError):
    """Nothing can be answered yet."""

    status = 503
    code = "not_ready"


class Startup:
    """A mounted app gets no lifespan events, so whoever comes first begins the loading."""

    def __init__(self, guard: Guardrail) -> None:
        self._guard = guard
        self._loading: asyncio.Task[None] | None = None
        self._failure: GuardrailError | None = None
        self._ended = 0.0

    @property
    def reason(self) -> GuardrailError:
        """Why the guard is not ready."""
        return self._failure or NotReady("The server is still loading; try again in a few seconds.")

    def begin(self) -> asyncio.Task[None]:
        """The loading: begun if it was not, and begun anew if it failed some time ago."""
        over = self._loading is not None and self._loading.done() and time.monotonic() - self._ended > _PAUSE_SECONDS
        if self._loading is None or over:
            self._loading = asyncio.get_running_loop().create_task(self._load())
        return self._loading

    async def wait(self) -> None:
        """Return when the guard is ready. Raises the GuardrailError that the start ended with."""
        if self._guard.ready:
            return
        await asyncio.shield(self.begin())
        if not self._guard.ready:
            raise self.reason.with_traceback(None)  # one error answers many requests: it must not collect their frames

    async def stop(self) -> None:
        """Give up a loading that still runs."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
            await asyncio.wait([self._loading])

    async def _load(self) -> None:
        try:
            await self._guard.start()
        except GuardrailError as error:
            self._failure = error
        except Exception:
            log.exception("the start failed")
            self._failure = NotReady("The server could not start; the reason is in its log.")
        else:
            self._failure = None
        self._ended = time.monotonic()
