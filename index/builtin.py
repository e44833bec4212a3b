"""The built-in library: its texts ship as jsonl, its index is built once on each machine."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import platformdirs
from filelock import FileLock

from guardrail.errors import LibraryError
from guardrail.index.builder import build
from guardrail.index.chunk import ChunkSettings
from guardrail.index.document import READER_VERSION
from guardrail.index.generation import FORMAT, Generation, current_name

if TYPE_CHECKING:
    from guardrail.index.embedding import Progress, Report
    from guardrail.protocols import Encoder

LIBRARY = Path(__file__).parent / "library"
CACHE_VARIABLE = "GUARDRAIL_CACHE"

_SILENT_SECONDS = 2.0
_LINE_SECONDS = 3.0
_log = logging.getLogger(__name__)


def ensure(encoder: Encoder, progress: Report | None = None, *, library: Path = LIBRARY) -> Path:
    """Folder of the built-in library's index for `encoder`, built if this machine has none yet; safe to call from several processes at once.

    It is kept in the user's cache folder, or in $GUARDRAIL_CACHE; where that cannot be written, in a temporary folder until the process ends.
    With no `progress`, a build that takes longer than two seconds says so on standard error. A damaged index is built anew.
    Raises LibraryError where the texts themselves are missing.
    """
    key = _key(encoder, library)
    cache = cache_folder()
    try:
        return _built(cache / "library", key, encoder, progress, library)
    except OSError as error:
        _log.warning("The cache folder %s cannot be written (%s): the built-in library is built in a temporary folder.", cache, error.strerror or error)
        temporary = Path(tempfile.mkdtemp(prefix="guardrail-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return _built(temporary, key, encoder, progress, library)


def cache_folder() -> Path:
    """$GUARDRAIL_CACHE, or the user's cache folder for guardrail."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("guardrail"))


def _built(cache: Path, key: str, encoder: Encoder, progress: Report | None, library: Path) -> Path:
    folder = cache / key
    if _usable(folder, encoder):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{key}.lock"):
        if _usable(folder, encoder):  # another process was first
            return folder
        try:
            _build(folder, encoder, progress, library)
        except LibraryError:
            if not folder.exists():
                raise
            shutil.rmtree(folder)
            _build(folder, encoder, progress, library)
    return folder


def _usable(folder: Path, encoder: Encoder) -> bool:
    try:
        Generation.open(folder, fingerprint=encoder.fingerprint).close()
    except LibraryError:
        return False
    return True


def _build(folder: Path, encoder: Encoder, progress: Report | None, library: Path) -> None:
    report = build([library], folder, encoder, report=progress or _Lines())
    if report.failed:
        first = report.failed[0]
        raise LibraryError(f"The built-in library is damaged: {first.path}: {first.reason} Install guardrail again.")
    current_name(folder)


def _key(encoder: Encoder, library: Path) -> str:
    """Hash of everything that decides what the index holds."""
    files = sorted(library.rglob("*.jsonl"))
    if not files:
        raise LibraryError("The texts of the built-in library are missing from this installation: install guardrail again.")
    digest = hashlib.sha256(msgspec.json.encode([FORMAT, READER_VERSION, ChunkSettings(), encoder.fingerprint]))
    for file in files:
        digest.update(hashlib.sha256(file.relative_to(library).as_posix().encode()).digest())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]


class _Lines:
    """Progress on standard error, once the build turns out to take a while."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said = self._began + _SILENT_SECONDS - _LINE_SECONDS

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.step == "embed" and progress.seconds_left is not None and now - self._said >= _LINE_SECONDS:
            self._said = now
            print(
                f"Preparing the built-in library, once: {progress.done}/{progress.total} passages, {progress.seconds_left:.0f} s left.",
                file=sys.stderr,
                flush=True,
            )
