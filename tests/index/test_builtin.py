"""The built-in library is built on first use, once, wherever there is room."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from guardrail.errors import LibraryError
from guardrail.index import builtin
from guardrail.index.generation import Generation
from tests.index.hash_encoder import HashEncoder

if TYPE_CHECKING:
    from guardrail.index.embedding import Progress

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GUARDRAIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    (folder / "plato").mkdir(parents=True)
    row = {"id": "plato.cave", "title": "The Cave", "work": "Republic", "locator": "VII 514a", "persona": "plato", "text": "Prisoners sit in a cave."}
    (folder / "plato" / "cave.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_the_shipped_library_is_whole(cache: Path) -> None:
    encoder = HashEncoder(max_tokens=256)
    with Generation.open(builtin.ensure(encoder), fingerprint=encoder.fingerprint) as generation:
        for persona in ("plato", "aristotle"):
            rows = generation.rows(persona, [])
            assert rows is not None
            assert len(rows) >= 100
        for passage in generation.passages(range(generation.manifest.passages)):
            assert passage.persona in ("plato", "aristotle")
            assert passage.title
            assert passage.work
            assert passage.locator


def test_the_first_use_builds_and_the_second_does_not(cache: Path, library: Path) -> None:
    steps: list[Progress] = []
    folder = builtin.ensure(HashEncoder(), steps.append, library=library)
    assert folder.is_relative_to(cache)
    assert steps
    encoder = HashEncoder()
    assert builtin.ensure(encoder, library=library) == folder
    assert encoder.encoded == []
    with Generation.open(folder, fingerprint=encoder.fingerprint) as generation:
        (passage,) = generation.passages([0])
        assert (passage.source_id, passage.title, passage.work, passage.locator, passage.persona) == (
            "plato.cave",
            "The Cave",
            "Republic",
            "VII 514a",
            "plato",
        )


def test_another_encoder_or_another_text_has_a_folder_of_its_own(cache: Path, library: Path) -> None:
    folders = {builtin.ensure(HashEncoder(), library=library), builtin.ensure(HashEncoder(fingerprint="2" * 64), library=library)}
    (library / "plato" / "line.jsonl").write_text('{"id": "plato.line", "text": "The line is divided."}\n')
    folders.add(builtin.ensure(HashEncoder(), library=library))
    assert len(folders) == 3


def test_a_damaged_cache_is_built_anew(cache: Path, library: Path) -> None:
    folder = builtin.ensure(HashEncoder(), library=library)
    (path,) = folder.glob("generations/*/vectors.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert builtin.ensure(HashEncoder(), library=library) == folder
    Generation.open(folder, fingerprint=HashEncoder().fingerprint).close()


def test_an_unwritable_cache_falls_back_to_a_temporary_folder_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GUARDRAIL_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        folder = builtin.ensure(HashEncoder(), library=library)
    assert "cannot be written" in caplog.text
    Generation.open(folder, fingerprint=HashEncoder().fingerprint).close()


def test_missing_texts_are_one_clear_error(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(LibraryError, match="install guardrail again"):
        builtin.ensure(HashEncoder(), library=tmp_path / "none")


def test_first_uses_at_the_same_time_build_once(cache: Path, library: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from guardrail.index import builtin; from tests.index.hash_encoder import HashEncoder\n"
        "e = HashEncoder(seconds_a_batch=0.3); print(builtin.ensure(e, library=Path(sys.argv[1]))); print(len(e.encoded))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    processes = [subprocess.Popen([sys.executable, "-c", script, str(library)], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({folder for folder, _ in printed}) == 1
    assert sorted(number == "0" for _, number in printed) == [False, True, True]


def test_progress_is_on_standard_error_only_when_it_takes_long(
    cache: Path, library: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    builtin.ensure(HashEncoder(), library=library)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(builtin, "_SILENT_SECONDS", 0.0)
    builtin.ensure(HashEncoder(fingerprint="2" * 64), library=library)
    assert capsys.readouterr() == ("", "Preparing the built-in library, once: 1/1 passages, 0 s left.\n")
