"""Books to index, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

SENTENCES = "The soul has three parts. Reason rules the others. Spirit helps reason. Desire obeys both. Each part has a virtue of its own."


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.txt").write_text(f"Book number {number} begins here.\n\n" + f"{SENTENCES} This is said in {number}.\n\n" * (number + 1))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "index"
