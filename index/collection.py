"""What is to be indexed: the files under the given roots, and the documents in them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.errors import DocumentError, LibraryError
from guardrail.index.document import READER_VERSION, SUFFIXES, Document, Failure, read, sha256
from guardrail.index.embedding import Progress, Report
from guardrail.index.generation import Root, StoredDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LINE = re.compile(r"(\.jsonl)#\d+\Z", re.IGNORECASE)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survey:
    files: dict[Path, _File] = field(default_factory=dict)
    """By resolved path."""
    ignored: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unreadable: set[Path] = field(default_factory=set)
    """Files and folders whose documents are kept as they were."""


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
    survey = _survey(roots, skip.resolve())
    taken = _from_other_roots(known, {root.path for root in roots}, survey.files)
    parsed = {(stored.root, stored.document.uri): stored.document for stored in known if stored.reader == READER_VERSION}
    failures, unreadable = survey.failures, survey.unreadable
    total = len(survey.files)
    for done, (path, file) in enumerate(survey.files.items()):
        report(Progress(step="read", done=done, total=total))
        for item in _documents(file, parsed if file.root in known_roots else {}):
            found = item if isinstance(item, Failure) else _named(item, file, taken)
            if isinstance(found, Failure):
                failures.append(found)
                if found.path == file.uri:
                    unreadable.add(path)
            else:
                taken[found.source_id] = Gathered(document=found, root=file.root.path)
    report(Progress(step="read", done=total, total=total))
    for stored in known if unreadable else ():
        path = _stored_path(stored)
        if not unreadable.isdisjoint((path, *path.parents)):
            taken.setdefault(stored.document.source_id, as_known(stored))
    return Collection(documents=tuple(taken.values()), failures=tuple(failures), ignored=tuple(survey.ignored))


def as_known(stored: StoredDocument) -> Gathered:
    """A document as the index has it."""
    return Gathered(document=stored.document, root=stored.root, reader=stored.reader)


def _stored_path(stored: StoredDocument) -> Path:
    """Where a document's file was."""
    root = Path(stored.root)
    return root / _LINE.sub(r"\1", stored.document.uri) if root.is_dir() else root


def _survey(roots: Sequence[Root], skip: Path) -> _Survey:
    """The files under `roots`; the root that names a file most closely decides about it."""
    survey = _Survey()
    for root in roots:
        base = Path(root.path)
        for path in [base] if not base.is_dir() else _walk(base, skip, survey):
            if path.suffix.lower() not in SUFFIXES and path != base:
                survey.ignored.append(_uri(path, base))
                continue
            resolved = path.resolve()
            if resolved not in survey.files or len(survey.files[resolved].root.path) < len(root.path):
                survey.files[resolved] = _File(root=root, path=path, uri=_uri(path, base if path != base else base.parent))
    return survey


def _walk(base: Path, skip: Path, survey: _Survey) -> Iterator[Path]:
    """Files in order of their names; hidden ones and links to folders are left out."""
    errors: list[OSError] = []
    for folder, folders, names in os.walk(base, onerror=errors.append):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (here / name).resolve() != skip)
        yield from (here / name for name in sorted(names) if not name.startswith("."))
    for error in errors:
        survey.unreadable.add(Path(error.filename).resolve())
        survey.failures.append(Failure(path=_uri(Path(error.filename), base), reason=f"The folder cannot be opened: {error.strerror}."))


def _from_other_roots(known: Sequence[StoredDocument], given: set[str], files: dict[Path, _File]) -> dict[str, Gathered]:
    """What `known` has from roots that are not `given`; takes those of its files out of `files` that the other root names more closely."""
    kept: dict[str, Gathered] = {}
    for stored in known:
        path = _stored_path(stored)
        if stored.root in given or (path in files and len(files[path].root.path) > len(stored.root)):
            continue
        files.pop(path, None)
        kept[stored.document.source_id] = as_known(stored)
    return kept


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
