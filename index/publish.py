"""Putting a new generation in place: written aside, synced, renamed, then named in CURRENT in one step."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock, Timeout

from guardrail.errors import LibraryError
from guardrail.index.generation import (
    CURRENT,
    FORMAT,
    GENERATIONS,
    LOCK,
    MANIFEST,
    PASSAGES,
    STAGING,
    EncoderEntry,
    Manifest,
    Root,
    StoredDocument,
    file_entry,
    work_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from guardrail.index.chunk import ChunkSettings

KEPT_GENERATIONS = 2
"""The current one and the one before it, which a running server may still be reading."""

_SCHEMA = """
CREATE TABLE documents (
    source_id TEXT NOT NULL UNIQUE, uri TEXT NOT NULL, root TEXT NOT NULL, reader INTEGER NOT NULL, sha256 TEXT NOT NULL,
    title TEXT NOT NULL, work TEXT NOT NULL, locator TEXT NOT NULL, persona TEXT NOT NULL,
    metadata TEXT NOT NULL, text TEXT NOT NULL, structure TEXT NOT NULL
);
CREATE TABLE passages (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source_id TEXT NOT NULL,
    title TEXT NOT NULL, work TEXT NOT NULL, work_key TEXT NOT NULL, locator TEXT NOT NULL, persona TEXT NOT NULL,
    text TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, tokens INTEGER NOT NULL
);
"""
_FILTER_INDEX = "CREATE INDEX filter ON passages (work_key, persona)"


@contextmanager
def writer(folder: Path) -> Iterator[None]:
    """Hold the folder for one build. Raises LibraryError where another one is writing, or where the folder cannot be written or is not an index's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = {entry.name for entry in folder.iterdir()}
        if entries and not entries & {CURRENT, GENERATIONS, STAGING, LOCK}:
            raise LibraryError(f"The folder {folder} is not empty and holds no index: give an empty or a new folder.")
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise LibraryError(f"Another build is writing to {folder}: wait until it has finished.") from error
    except OSError as error:
        raise LibraryError(f"The folder {folder} cannot be written ({error.strerror or error}): give another one.") from error
    try:
        yield
    except OSError as error:
        raise LibraryError(f"Writing the index in {folder} failed ({error.strerror or error}); what is done is kept, run the build again.") from error
    finally:
        lock.release()


def publish(
    folder: Path,
    fill: Callable[[Path], int],
    *,
    documents: Sequence[StoredDocument],
    encoder: EncoderEntry,
    chunking: ChunkSettings,
    roots: tuple[Root, ...],
) -> str:
    """Write a generation and make it the current one; returns its name. Needs `writer`.

    `fill` writes arrays and sparse index into the folder it is given and returns how many token states they hold.
    Until the last step readers see the old generation, whole.
    """
    created = datetime.now(UTC)
    staging = folder / STAGING
    aside = staging / f"generation-{uuid.uuid4().hex}"
    aside.mkdir(parents=True)
    _write_passages(aside / PASSAGES, documents)
    tokens = fill(aside)
    files = {path.relative_to(aside).as_posix(): file_entry(path) for path in sorted(aside.rglob("*")) if path.is_file()}
    manifest = Manifest(
        format=FORMAT,
        created=created.isoformat(timespec="seconds"),
        encoder=encoder,
        chunking=chunking,
        roots=roots,
        documents=len(documents),
        passages=sum(len(document.chunks) for document in documents),
        tokens=tokens,
        files=files,
    )
    raw = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1) + b"\n"
    (aside / MANIFEST).write_bytes(raw)
    for path in aside.rglob("*"):
        sync(path)
    sync(aside)
    name = f"{created:%Y%m%dT%H%M%S%f}Z-{sha256(raw).hexdigest()[:16]}"
    generations = folder / GENERATIONS
    generations.mkdir(exist_ok=True)
    (aside).rename(generations / name)
    sync(generations)
    pointer = staging / f"{CURRENT}-{uuid.uuid4().hex}"
    pointer.write_text(f"{name}\n", encoding="ascii")
    sync(pointer)
    pointer.replace(folder / CURRENT)
    sync(folder)
    return name


def collect_garbage(folder: Path, current: str) -> None:
    """Delete all generations but `current` and the latest before it, and what builds left in staging. Needs `writer`."""
    staging = folder / STAGING
    staging.mkdir(exist_ok=True)
    others = sorted((path for path in (folder / GENERATIONS).iterdir() if path.name != current), key=lambda path: path.name, reverse=True)
    for path in others[KEPT_GENERATIONS - 1 :]:
        path.rename(staging / f"old-{uuid.uuid4().hex}")  # so that a half-deleted generation never stands among the whole ones
    shutil.rmtree(staging, ignore_errors=True)


def sync(path: Path) -> None:
    """Have the system write a file or folder to disk; Windows does that by itself and cannot open a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def passage_id(source_id: str, number: int) -> str:
    """Id of a source's `number`-th passage, counted from 1."""
    return f"{source_id}#{number}"


def _write_passages(path: Path, documents: Sequence[StoredDocument]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = OFF")  # a crash throws the whole folder away
        connection.execute("PRAGMA synchronous = OFF")  # `publish` syncs the file
        connection.executescript(_SCHEMA)
        connection.execute("BEGIN")
        row = count()
        for stored in documents:
            document = stored.document
            structure = [[[b.start, b.end, b.level] for b in document.blocks], [[p.start, p.label] for p in document.pages]]
            connection.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    document.source_id,
                    document.uri,
                    stored.root,
                    stored.reader,
                    document.sha256,
                    document.title,
                    document.work,
                    document.locator,
                    document.persona,
                    json.dumps(document.metadata, ensure_ascii=True),
                    document.text,
                    json.dumps(structure, separators=(",", ":")),
                ),
            )
            connection.executemany(
                "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        next(row),
                        passage_id(document.source_id, number),
                        document.source_id,
                        chunk.title,
                        document.work,
                        work_key(document.work),
                        chunk.locator,
                        document.persona,
                        document.text[chunk.start : chunk.end],
                        chunk.start,
                        chunk.end,
                        chunk.tokens,
                    )
                    for number, chunk in enumerate(stored.chunks, start=1)
                ),
            )
        connection.execute("COMMIT")
        connection.execute(_FILTER_INDEX)
    finally:
        connection.close()
