"""How many turns run at once, and how many may wait."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from guardrail.errors import Overloaded

_LONGEST_RETRY = 60
_SMOOTHING = 0.1


class Admission:
    """A queue of bounded length before a bounded number of places, first come, first served."""

    def __init__(self, *, concurrency: int, queue: int) -> None:
        self._concurrency = concurrency
        self._queue = queue
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean_seconds = 1.0
        self.running = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def take(self) -> None:
        """Return when there is a place. Raises Overloaded at once where the queue is full."""
        if self.running < self._concurrency and not self._waiting:
            self.running += 1
            return
        if len(self._waiting) >= self._queue:
            seconds = self._mean_seconds * (len(self._waiting) + 1) / self._concurrency
            raise Overloaded("The server is full; try again after the time in Retry-After.", retry_after=min(_LONGEST_RETRY, max(1, math.ceil(seconds))))
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._hand_on()
            elif turn in self._waiting:  # a place given back at this very moment may have passed over it already
                self._waiting.remove(turn)
            raise

    def give_back(self, seconds: float) -> None:
        """The place is free after `seconds` of use."""
        self._mean_seconds += _SMOOTHING * (seconds - self._mean_seconds)
        self._hand_on()

    def _hand_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
