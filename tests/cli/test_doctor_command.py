"""`guardrail doctor`: what this machine has, what would fail, and what to do about it."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from guardrail.cli import machine
from guardrail.index import builtin, encoder
from guardrail.settings import ServerSettings
from tests.cli.conftest import Run, objects

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PASSAGE = {
    "id": "cave",
    "title": "The Cave",
    "work": "Republic",
    "locator": "VII 514a",
    "persona": "plato",
    "text": "Prisoners in a cave see shadows on a wall.",
}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built-in library of one passage, and an empty cache, which is returned."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "one.jsonl").write_text(json.dumps(PASSAGE) + "\n")
    defaults = builtin.ensure.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "library", library)
    monkeypatch.setenv(builtin.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def finding(result: Result, subject: str) -> dict[str, Any]:
    (found,) = [found for found in objects(result) if found["subject"] == subject]
    assert isinstance(found, dict)
    return found


def test_it_builds_the_library_where_there_is_none_and_finds_it_fresh_after_that(run: Run, small: Path) -> None:
    first, second = run("doctor", "--json"), run("doctor", "--json")
    assert first.exit_code == second.exit_code == 0
    assert finding(first, "library")["found"].startswith("1 passages, built now in ")
    assert finding(second, "library")["found"] == "1 passages, built and fresh"
    assert "Preparing" not in first.stdout
    assert small.is_dir()


def test_it_looks_at_everything_that_serving_needs(run: Run, small: Path) -> None:
    subjects = [found["subject"] for found in objects(run("doctor", "--json"))]
    assert {"Python", "packages", "memory", "cache", "onnxruntime", "encoder", "library", "rails", "GPU", "port"} <= set(subjects)
    assert {"extra transformers", "extra langchain", "extra documents"} <= set(subjects)


def test_quiet_prints_nothing_where_nothing_is_wrong(run: Run, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_pinned", dict)
    monkeypatch.setattr(machine, "_free_mib", lambda: 4096)
    monkeypatch.setattr(machine, "_gpu", lambda: machine.Finding(subject="GPU", status="absent", found="none"))
    result = run("doctor", "--quiet")
    assert (result.exit_code, result.stdout) == (0, "")


def test_an_altered_encoder_fails_with_what_would_fail_and_what_to_do(run: Run, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "WEIGHTS_SHA256", "0" * 64)
    result = run("doctor", "--json")
    found = finding(result, "encoder")
    assert result.exit_code == 1
    assert found["status"] == "failure"
    assert "`guardrail serve`" in found["consequence"]
    assert found["remedy"]
    assert not any(other["subject"] == "library" for other in objects(result))  # it cannot be told without the encoder


def test_a_package_of_another_version_is_a_warning(run: Run, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_pinned", lambda: {"numpy": "0.0.1"})
    result = run("doctor", "--json")
    assert result.exit_code == 0
    assert finding(result, "numpy")["status"] == "warning"
    assert "0.0.1" in finding(result, "numpy")["found"]


def test_a_package_that_is_missing_is_a_failure(run: Run, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_required", lambda: ["numpy", "no-such-package-as-this"])
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert finding(result, "no-such-package-as-this")["status"] == "failure"


def test_the_installed_packages_are_the_required_ones_of_the_project() -> None:
    required = machine._required()
    assert {"numpy", "onnxruntime", "starlette", "aiohttp"} <= set(required)
    assert "torch" not in required


def test_a_cache_that_cannot_be_written_is_a_warning_that_names_the_variable(run: Run, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.write_text("a file stands where the folder should be")
    found = finding(run("doctor", "--json"), "cache")
    assert found["status"] == "warning"
    assert builtin.CACHE_VARIABLE in found["remedy"]


def test_a_port_that_is_taken_is_told_and_no_failure(run: Run, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(machine, "ServerSettings", lambda: ServerSettings(port=port))
        result = run("doctor", "--json")
    assert result.exit_code == 0
    assert str(port) in finding(result, "port")["found"]
    assert "--port" in finding(result, "port")["remedy"]


def test_an_extra_that_is_missing_says_what_to_install(run: Run, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine._EXTRAS, "documents", (("no_such_module",), "pdf files would be skipped."))
    result = run("doctor", "--json")
    assert result.exit_code == 0
    assert finding(result, "extra documents")["status"] == "absent"
    assert "guardrail-chat[documents]" in finding(result, "extra documents")["remedy"]


def test_the_text_marks_each_finding(run: Run, small: Path) -> None:
    text = run("doctor").stdout
    assert "ok    encoder: all-MiniLM-L6-v2, weights as published (sha256 53aa51172d14)" in text
