"""SHA-256 of files and folders, and the key by which a run knows that a stage need not run again."""

from __future__ import annotations

import dataclasses
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

CODE = 2
"""Raised when a stage, from the same settings and inputs, comes to make something else."""

_LEFT_OUT = {"__pycache__", ".git", ".DS_Store"}


def of(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, over the name and the SHA-256 of each file in it, by name. Raises OSError."""
    if not path.is_dir():
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    digest = sha256()
    for file_path in files(path):
        digest.update(f"{file_path.relative_to(path).as_posix()}\0{of(file_path)}\n".encode())
    return digest.hexdigest()


def stamp(path: Path) -> str:
    """Like `of`, over sizes and times of change instead of bytes: quick, and another when a file was written."""
    found = [path] if not path.is_dir() else files(path)
    lines = [f"{item.name if item == path else item.relative_to(path).as_posix()}\0{(state := item.stat()).st_size}\0{state.st_mtime_ns}" for item in found]
    return sha256("\n".join(lines).encode()).hexdigest()


def files(folder: Path) -> list[Path]:
    """Every file under `folder`, by name, without what version control and caches leave behind."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not _LEFT_OUT.intersection(path.relative_to(folder).parts))


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(item.stat().st_size for item in (files(path) if path.is_dir() else [path]))


def text(value: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return sha256(value.encode()).hexdigest()


def key(*, kind: str, settings: Any, seed: int) -> str:
    """What decides what a stage makes: `settings` with the fingerprint of each input in the reference's place.

    Settings at their default are left out, so a key that a later version of the program adds does not make every stage run again.
    """
    identity = {"code": CODE, "kind": kind, "settings": _chosen(settings), "seed": seed}
    return sha256(msgspec.json.encode(identity, order="deterministic")).hexdigest()


def _chosen(value: Any) -> Any:
    """Plain values, of dataclasses only what is not the default."""
    if isinstance(value, list | tuple):
        return [_chosen(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
    return {name: _chosen(item) for name, (item, default) in fields.items() if item != default}
