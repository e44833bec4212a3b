"""Builds an index: reads, cuts, embeds what is new, and publishes a new generation. Embedding takes nearly all of the time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.errors import LibraryError
from guardrail.index import collection, duplicates, publish
from guardrail.index.chunk import ChunkSettings, chunk
from guardrail.index.document import SUFFIXES, Failure
from guardrail.index.embedding import Embeddings, Pace, Piece, Progress, Report
from guardrail.index.generation import CURRENT, SPARSE, STAGING, EncoderEntry, Generation, Root, StoredDocument, current_name
from guardrail.index.sparse import SparseIndex

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from guardrail.index.duplicates import Duplicate
    from guardrail.protocols import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build did."""

    generation: str
    """Name of the generation that is now in use; the one before where nothing had changed."""
    added: int
    updated: int
    unchanged: int
    deleted: int
    failed: tuple[Failure, ...]
    ignored: tuple[str, ...]
    """Files of kinds that there is no reader for."""
    duplicates: tuple[Duplicate, ...]
    """Documents that share text, where at least one of the two is new or changed."""
    passages: int
    """In the whole index."""
    embedded: int
    """Different passages that were encoded; all others had vectors already, from the generation before or from an interrupted build."""
    seconds: float
    rate: float
    """Passages embedded a second; 0 where there was nothing to embed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    out: Path
    encoder: Encoder
    chunking: ChunkSettings
    pace: Pace
    report: Report
    began: float

    @property
    def entry(self) -> EncoderEntry:
        encoder = self.encoder
        return EncoderEntry(name=encoder.name, fingerprint=encoder.fingerprint, dimensions=encoder.dimensions, token_dimensions=encoder.token_dimensions)


def build(
    paths: Sequence[Path],
    out: Path,
    encoder: Encoder,
    *,
    persona: str = "",
    work: str = "",
    chunking: ChunkSettings | None = None,
    pace: Pace | None = None,
    report: Report | None = None,
) -> BuildReport:
    """Make the index in `out` hold what is under `paths`, beside what it holds from other paths.

    Files and jsonl lines that are as they were keep their vectors, changed ones are replaced, and those that are gone from `paths` are deleted.
    `persona` and `work` are for documents that name none. A bad file is in the report's `failed`.
    Raises LibraryError where a path does not exist, nothing can be read, or `out` cannot be written or is damaged.
    """
    given = collection.roots(paths, persona=persona, work=work)
    if not given:
        raise LibraryError("There is nothing to build from: give files or folders.")
    job = _Job(out=out, encoder=encoder, chunking=chunking or ChunkSettings(), pace=pace or Pace(), report=report or _silent, began=time.monotonic())
    with publish.writer(out), _opened(out) as old:
        names = {root.path for root in given}
        before = old.manifest.roots if old else ()
        return _read(job, old, roots=(*(root for root in before if root.path not in names), *given), reread=given)


def sync(
    paths: Sequence[Path],
    out: Path,
    encoder: Encoder,
    *,
    persona: str = "",
    work: str = "",
    chunking: ChunkSettings | None = None,
    pace: Pace | None = None,
    report: Report | None = None,
) -> BuildReport:
    """Make the index in `out` hold what is under `paths` and nothing else; with no paths, under those of the builds before.

    Raises LibraryError like `build`, also where a folder of an earlier build is gone as a whole: it may only be unplugged.
    `chunking` None: as it was.
    """
    given = collection.roots(paths, persona=persona, work=work)
    if not given:
        current_name(out)  # says what is wrong, before a folder is made
    began = time.monotonic()
    with publish.writer(out), _opened(out) as old:
        roots = given or (old.manifest.roots if old else ())
        gone = next((root.path for root in roots if not Path(root.path).exists()), None)
        if gone:
            raise LibraryError(f"{gone}, which the index was built from, is gone: bring it back, or run sync with the paths that are left.")
        cut = chunking or (old.manifest.chunking if old else ChunkSettings())
        job = _Job(out=out, encoder=encoder, chunking=cut, pace=pace or Pace(), report=report or _silent, began=began)
        return _read(job, old, roots=roots, reread=roots)


def remove(source_ids: Collection[str], out: Path, encoder: Encoder) -> BuildReport:
    """Take documents out of the index. A later build or sync brings back those whose files are still there.

    Raises LibraryError for an id that is not in the index, or if nothing would be left.
    """
    began = time.monotonic()
    current_name(out)
    with publish.writer(out), Generation.open(out, fingerprint=encoder.fingerprint) as old:
        known = list(old.documents())
        missing = sorted(set(source_ids) - {stored.document.source_id for stored in known})
        if missing:
            raise LibraryError(f"The index in {out} holds no document {missing[0]!r}: nothing was removed.")
        left = tuple(collection.as_known(stored) for stored in known if stored.document.source_id not in source_ids)
        if not left:
            raise LibraryError(f"Nothing would be left in {out}: delete the folder instead.")
        job = _Job(out=out, encoder=encoder, chunking=old.manifest.chunking, pace=Pace(), report=_silent, began=began)
        return _publish(job, collection.Collection(documents=left, failures=(), ignored=()), old, known, old.manifest.roots)


@contextmanager
def _opened(out: Path) -> Iterator[Generation | None]:
    """The current generation, whichever encoder made it; None where there is none yet."""
    if not (out / CURRENT).exists():
        yield None
        return
    with Generation.open(out, fingerprint=None) as old:
        yield old


def _read(job: _Job, old: Generation | None, *, roots: tuple[Root, ...], reread: tuple[Root, ...]) -> BuildReport:
    known = list(old.documents()) if old else []
    if any(not stored.root for stored in known):
        raise LibraryError(f"The index in {job.out} belongs to a vector store, which alone may change it: build into another folder.")
    stay = {root.path for root in roots}
    found = collection.gather(
        reread,
        known=[stored for stored in known if stored.root in stay],
        known_roots=old.manifest.roots if old else (),
        skip=job.out,
        report=job.report,
    )
    if not found.documents:
        raise LibraryError(_nothing(found))
    return _publish(job, found, old, known, roots)


def _publish(job: _Job, found: collection.Collection, old: Generation | None, known: Sequence[StoredDocument], roots: tuple[Root, ...]) -> BuildReport:
    before = {stored.document.source_id: stored for stored in known}
    now = {gathered.document.source_id: gathered for gathered in found.documents}
    changed = {id_ for id_, gathered in now.items() if id_ not in before or replace(before[id_].document, uri=gathered.document.uri) != gathered.document}
    added = len(now.keys() - before.keys())
    result = BuildReport(
        generation=old.name if old else "",
        added=added,
        updated=len(changed) - added,
        unchanged=len(now) - len(changed),
        deleted=len(before.keys() - now.keys()),
        failed=found.failures,
        ignored=found.ignored,
        duplicates=(),
        passages=old.manifest.passages if old else 0,
        embedded=0,
        seconds=time.monotonic() - job.began,
        rate=0.0,
    )
    same_cut = old is not None and old.manifest.chunking == job.chunking and old.manifest.encoder == job.entry
    moved = any(id_ in before and (before[id_].root, before[id_].document.uri) != (gathered.root, gathered.document.uri) for id_, gathered in now.items())
    if old is not None and same_cut and not (changed or result.deleted or moved) and roots == old.manifest.roots:
        return result
    documents: list[StoredDocument] = []
    for done, (id_, gathered) in enumerate(now.items()):
        job.report(Progress(step="cut", done=done, total=len(now)))
        chunks = before[id_].chunks if same_cut and id_ not in changed else tuple(chunk(gathered.document, job.encoder, job.chunking))
        documents.append(StoredDocument(document=gathered.document, root=gathered.root, reader=gathered.reader, chunks=chunks))
    job.report(Progress(step="cut", done=len(now), total=len(now)))
    pieces = [
        Piece(stored.document.text[piece.start : piece.end], piece.title, len(stored.chunks) == 1 and stored.document.titled, piece.tokens, questions)
        for stored in documents
        for questions in [stored.document.questions]
        for piece in stored.chunks
    ]
    keys = [piece.key for piece in pieces]
    embeddings = Embeddings(job.encoder, job.out / STAGING)
    if old is not None:
        embeddings.keep(old)
    missing = {digest: piece for digest, piece in zip(keys, pieces, strict=True) if digest not in embeddings}
    start = time.monotonic()
    if missing:
        embeddings.compute(missing.values(), job.report, job.pace)
    spent = time.monotonic() - start

    def fill(folder: Path) -> int:
        (folder / SPARSE).mkdir()
        SparseIndex.build(f"{piece.title}\n{piece.text}" for piece in pieces).save(folder / SPARSE)
        return embeddings.write(folder, keys)

    job.report(Progress(step="write", done=0, total=len(keys)))
    name = publish.publish(job.out, fill, documents=documents, encoder=job.entry, chunking=job.chunking, roots=roots)
    publish.collect_garbage(job.out, name)
    job.report(Progress(step="write", done=len(keys), total=len(keys)))
    return replace(
        result,
        generation=name,
        duplicates=_duplicates(documents, changed),
        passages=len(keys),
        embedded=len(missing),
        seconds=time.monotonic() - job.began,
        rate=len(missing) / max(spent, 1e-9),
    )


def _duplicates(documents: Sequence[StoredDocument], changed: set[str]) -> tuple[Duplicate, ...]:
    if not changed:
        return ()
    sources = [
        duplicates.Source(
            id=stored.document.source_id,
            text=stored.document.text,
            passages=tuple(stored.document.text[piece.start : piece.end] for piece in stored.chunks),
        )
        for stored in documents
    ]
    return duplicates.find(sources, changed=changed.__contains__)


def _nothing(found: collection.Collection) -> str:
    if found.failures:
        first = found.failures[0]
        return f"None of the documents could be read; the first of {len(found.failures)}: {first.path}: {first.reason}"
    return f"There are no documents there: give files or folders with {', '.join(sorted(SUFFIXES))}."


def _silent(_: Progress) -> None:
    pass
