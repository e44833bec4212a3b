"""What every turn passes before its work begins: the queue, then the loading."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from guardrail.server.access import Entry
    from guardrail.server.admission import Admission
    from guardrail.server.startup import Startup


@dataclass(frozen=True, slots=True)
class Gate:
    admission: Admission
    startup: Startup

    def place(self, entry: Entry) -> Place:
        """An async context manager that holds a place for one turn.

        Entering raises Overloaded at once where the queue is full, and the GuardrailError that kept the server from starting.
        """
        return Place(self, entry)


class Place:
    """One turn's place."""

    __slots__ = ("_entry", "_gate", "_since")

    def __init__(self, gate: Gate, entry: Entry) -> None:
        self._gate = gate
        self._entry = entry

    async def __aenter__(self) -> None:
        asked = time.perf_counter()
        await self._gate.admission.take()
        self._since = time.perf_counter()
        try:
            await self._gate.startup.wait()
        except BaseException:
            self._gate.admission.give_back(time.perf_counter() - self._since)
            raise
        self._entry.milliseconds["queue"] = round((self._since - asked) * 1000, 3)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._gate.admission.give_back(time.perf_counter() - self._since)
