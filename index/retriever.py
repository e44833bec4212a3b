"""The library as the turn asks for it: searched off the event loop, and replaced under way when a build publishes a new generation."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from guardrail.errors import LibraryError
from guardrail.index.generation import current_name
from guardrail.index.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor
    from pathlib import Path

    from guardrail.protocols import Encoder, Query
    from guardrail.types import Hit

_log = logging.getLogger(__name__)


class LibraryRetriever:
    """Retriever over the index in `folder`, which `guardrail index build` made.

    Searches run in `executor` (None: the event loop's own). With `reload_seconds` a thread looks that often for a new generation; it is opened and
    verified beside the old one, then takes its place; searches under way end on the old one. A broken one is logged and the old one stays.
    Raises LibraryError where the folder holds no sound index of this encoder.
    """

    def __init__(self, folder: Path, encoder: Encoder, *, executor: Executor | None = None, reload_seconds: float | None = None) -> None:
        self.encoder = encoder
        self._folder = folder
        self._executor = executor
        self._lock = threading.Lock()  # over the two fields below
        self._snapshot = Snapshot.open(folder, encoder)
        self._readers: dict[Snapshot, int] = {self._snapshot: 1}  # the retriever itself is a reader of the current one
        self._refreshing = threading.Lock()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None
        if reload_seconds is not None:
            self._watcher = threading.Thread(target=self._watch, args=(reload_seconds,), name="guardrail-library", daemon=True)
            self._watcher.start()

    @property
    def generation(self) -> str:
        """Name of the generation that answers now."""
        return self._snapshot.name

    async def retrieve(self, query: Query) -> tuple[Hit, ...]:
        """The passages that speak to `query`, best first."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.search, query)

    def search(self, query: Query) -> tuple[Hit, ...]:
        """`retrieve` in the calling thread."""
        with self._reading() as snapshot:
            try:
                return snapshot.search(query)
            except (OSError, sqlite3.Error, LibraryError) as error:
                failed, reason = snapshot, error
        # Two builds may have gone by and taken the files away before this thread opened them.
        if not self.refresh() and self._snapshot is failed:
            raise LibraryError(f"The index in {self._folder} can no longer be read ({reason}): build it again.") from reason
        with self._reading() as snapshot:
            return snapshot.search(query)

    def works(self, persona: str | None = None) -> tuple[str, ...]:
        """Titles of the works that `persona` may speak from (None: of all), in alphabetical order."""
        with self._reading() as snapshot:
            return snapshot.works(persona)

    def refresh(self) -> bool:
        """Take up the current generation if it is a new one; says whether it was. Raises LibraryError, and keeps the old one, if it is broken."""
        with self._refreshing:
            if self._closed.is_set() or current_name(self._folder) == self._snapshot.name:
                return False
            new = Snapshot.open(self._folder, self.encoder)
            with self._lock:
                old, self._snapshot = self._snapshot, new
                self._readers[new] = 1
            self._release(old)
            _log.info("The library is now at generation %s.", new.name)
            return True

    def close(self) -> None:
        """Stop watching; close the index once the last search has ended."""
        with self._refreshing:
            if self._closed.is_set():
                return
            self._closed.set()
            self._release(self._snapshot)
        if self._watcher is not None:
            self._watcher.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Snapshot]:
        """The current snapshot, kept open until the block ends."""
        with self._lock:
            snapshot = self._snapshot
            if snapshot not in self._readers:
                raise LibraryError("The library was closed.")
            self._readers[snapshot] += 1
        try:
            yield snapshot
        finally:
            self._release(snapshot)

    def _release(self, snapshot: Snapshot) -> None:
        with self._lock:
            self._readers[snapshot] -= 1
            last = not self._readers[snapshot]
            if last:
                del self._readers[snapshot]
        if last:
            snapshot.close()

    def _watch(self, seconds: float) -> None:
        name = refused = said = ""
        while not self._closed.wait(seconds):
            try:
                name = current_name(self._folder)
                if name != refused:
                    self.refresh()
                    said = ""
            except LibraryError as error:
                refused = name  # checking the same broken files again and again would cost a core
                if str(error) != said:
                    _log.error("A new generation of the library was not taken up, the old one keeps answering: %s", error)
                said = str(error)
            except Exception:  # noqa: BLE001 - the watcher outlives whatever a damaged folder throws at it
                _log.exception("Looking for a new generation of the library failed.")
