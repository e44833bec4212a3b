"""What is to be indexed: the files under the given roots, and the documents in them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.errors import DocumentError, LibraryError
from guardrail.index.document import READER_VERSION, SUFFIXES, Document, Failure, read, sha256
from guardrail.index.embedding import Progress, Report
from guardrail.index.generation import Root, StoredDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A document and the root it came from."""

    document: Document
    root: str
    reader: int = READER_VERSION
    """READER_VERSION of the reader that took its text out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What was found under the roots, in a fixed order."""

    documents: tuple[Gathered, ...]
    failures: tuple[Failure, ...]
    ignored: tuple[str, ...]
    """Files of kinds that there is no reader for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    root: Root
    path: Path
    uri: str


def roots(paths: Sequence[Path], *, persona: str, work: str) -> tuple[Root, ...]:
    """The roots that `paths` name, each once. Raises LibraryError for a path that does not exist."""
    found: dict[str, Root] = {}
    for path in paths:
        if not path.exists():
            raise LibraryError(f"There is no file or folder {path}.")
        absolute = str(path.resolve())
        found.setdefault(absolute, Root(path=absolute, persona=persona, work=work))
    return tuple(found.values())


def gather(roots: Sequence[Root], *, known: Sequence[StoredDocument], known_roots: Sequence[Root], skip: Path, report: Report) -> Collection:
    """The documents under `roots`, and those that `known` has from other roots.

    A file that is as `known` has it is not parsed again. Where one cannot be read any more, the version that is known stays.
    The folder `skip` is not entered.
    """
    given = {root.path for root in roots}
    taken = {stored.document.source_id: as_known(stored) for stored in known if stored.root not in given}
    files: dict[Path, _File] = {}
    failures: list[Failure] = []
    ignored: list[str] = []
    stays: list[tuple[str, str]] = []
    for root in roots:
        for found in _walk(root, skip.resolve()):
            if isinstance(found, Failure):
                failures.append(found)
                stays.append((root.path, found.path))
            elif found.path.suffix.lower() in SUFFIXES or found.path == Path(root.path):
                files.setdefault(found.path.resolve(), found)
            else:
                ignored.append(found.uri)
    parsed = {(stored.root, stored.document.uri): stored.document for stored in known if stored.reader == READER_VERSION}
    for done, file in enumerate(files.values()):
        report(Progress(step="read", done=done, total=len(files)))
        for item in _documents(file, parsed if file.root in known_roots else {}):
            if isinstance(item, Failure):
                failures.append(item)
                stays.append((file.root.path, item.path))
                continue
            document = _named(item, file, taken)
            if isinstance(document, Failure):
                failures.append(document)
            else:
                taken[document.source_id] = Gathered(document=document, root=file.root.path)
    report(Progress(step="read", done=len(files), total=len(files)))
    for stored in known:
        if any(stored.root == root and _within(stored.document.uri, path) for root, path in stays):
            taken.setdefault(stored.document.source_id, as_known(stored))
    return Collection(documents=tuple(taken.values()), failures=tuple(failures), ignored=tuple(ignored))


def as_known(stored: StoredDocument) -> Gathered:
    """A document as the index has it."""
    return Gathered(document=stored.document, root=stored.root, reader=stored.reader)


def _walk(root: Root, skip: Path) -> Iterator[_File | Failure]:
    """Files in order of their names; hidden ones and links to folders are left out."""
    base = Path(root.path)
    if not base.is_dir():
        yield _File(root=root, path=base, uri=_uri(base, base.parent))
        return
    unreadable: list[OSError] = []
    for folder, folders, names in os.walk(base, onerror=unreadable.append):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (here / name).resolve() != skip)
        for name in sorted(names):
            if not name.startswith("."):
                yield _File(root=root, path=here / name, uri=_uri(here / name, base))
    for error in unreadable:
        yield Failure(path=_uri(Path(error.filename), base), reason=f"The folder cannot be opened: {error.strerror}.")


def _uri(path: Path, base: Path) -> str:
    return os.fsencode(path.relative_to(base).as_posix()).decode("utf-8", "replace")


def _documents(file: _File, parsed: dict[tuple[str, str], Document]) -> Iterator[Document | Failure]:
    before = parsed.get((file.root.path, file.uri))
    if before is not None:
        try:
            if sha256(file.path) == before.sha256:
                yield replace(before, source_id=file.uri)
                return
        except DocumentError as error:
            yield Failure(path=file.uri, reason=str(error))
            return
    yield from read(file.path, uri=file.uri, persona=file.root.persona, work=file.root.work)


def _named(document: Document, file: _File, taken: dict[str, Gathered]) -> Document | Failure:
    """The document under an id of its own: a file that shares its path with one of another root gets the root's name before it."""
    other = taken.get(document.source_id)
    if other is None:
        return document
    name = f"{Path(file.root.path).name}/{document.source_id}"
    if document.source_id == document.uri and name not in taken:
        return replace(document, source_id=name)
    line = document.uri.rpartition("#")
    return Failure(path=":".join(line[::2]) if line[0] else document.uri, reason=f"The id {document.source_id!r} is taken by {other.document.uri}.")


def _within(uri: str, path: str) -> bool:
    return uri == path or uri.startswith((f"{path}#", f"{path}/")) or path == "."
