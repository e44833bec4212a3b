"""Checkpoints that are whole, whatever moment the process was killed at.

A checkpoint is a folder `checkpoint-<step>`. It counts once it holds a list of its files with their sizes, which is written last and in one step.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

WHOLE = "whole.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def seal(checkpoint: Path) -> None:
    """Say that `checkpoint` is whole; call it when everything is written."""
    sizes = {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != WHOLE}
    staged = checkpoint / f".{WHOLE}"
    staged.write_text(json.dumps(sizes))
    staged.replace(checkpoint / WHOLE)


def is_whole(checkpoint: Path) -> bool:
    """Whether it was sealed and every file still has its size."""
    try:
        sizes = json.loads((checkpoint / WHOLE).read_text())
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def steps(folder: Path) -> tuple[int, ...]:
    """The steps of the whole checkpoints in `folder`, in ascending order."""
    if not folder.is_dir():
        return ()
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return tuple(sorted(int(match.group(1)) for match, path in found if match and is_whole(path)))


def at(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` stands, or would stand."""
    return folder / f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint is of."""
    return int(checkpoint.name.rpartition("-")[2])


def newest(folder: Path) -> Path | None:
    """The whole checkpoint of the latest step; None where there is none."""
    found = steps(folder)
    return at(folder, found[-1]) if found else None


def prune(folder: Path, *, keep: int, spare: Collection[int] = ()) -> None:
    """Delete what is not whole, and all but the `keep` latest and those of the steps in `spare`."""
    if not folder.is_dir():
        return
    kept = {*steps(folder)[-keep:], *spare}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and (int(match.group(1)) not in kept or not is_whole(path)):
            (path / WHOLE).unlink(missing_ok=True)  # first, so that half a folder never counts
            shutil.rmtree(path)
