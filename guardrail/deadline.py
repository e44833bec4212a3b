"""A time limit that costs next to nothing where nothing is waited for."""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Raises TimeoutError where it waits longer than `seconds`.

    Like `asyncio.timeout`, which cannot stop work that never waits either; but the timer, which costs more than many a rail, is set only at the first wait.
    """
    try:
        awaited = work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return] # a coroutine's value is always untyped here
    async with asyncio.timeout(seconds):
        return await _rest(work, awaited)


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """All of `work` after its first step, which ended at `awaited`."""
    try:
        while True:
            try:
                sent = yield awaited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # noqa: BLE001 - a cancellation too must reach the work, which may answer it
                awaited = work.throw(error)
            else:
                awaited = work.send(sent)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return] # as above
