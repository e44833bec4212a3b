"""The command as a whole: instant help, one sentence for every failure, exit codes, streams kept apart."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from guardrail import Guardrail, __version__
from guardrail.cli.main import SUBCOMMANDS
from tests.cli.conftest import ROOT, Run, started

if TYPE_CHECKING:
    from pathlib import Path


def test_help_imports_no_library_but_click() -> None:
    code = "import sys; from guardrail.cli.main import cli; cli.main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "click" in loaded
    assert loaded.isdisjoint({"numpy", "msgspec", "yaml", "asyncio", "onnxruntime", "faiss", "aiohttp", "starlette", "torch", "jinja2", "guardrail.settings"})


def test_help_lists_every_command(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(f"  {name} " in result.stdout for name in SUBCOMMANDS)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_command_has_help(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


def test_it_runs_as_a_module_and_tells_its_version() -> None:
    with started("--version") as process:
        stdout, stderr = process.communicate()
    assert (process.returncode, stdout.decode(), stderr) == (0, f"guardrail {__version__}\n", b"")


@pytest.mark.parametrize(
    "arguments",
    [["nope"], ["ask"], ["ask", "x", "--nope"], ["check", "x"], ["check", "x", "--stage", "sideways"], ["serve", "--port", "70000"], ["config", "nope"]],
    ids=" ".join,
)
def test_bad_usage_is_one_sentence_on_standard_error_and_exit_code_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("guardrail: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["ask", "chat", "check", "serve"])
def test_a_broken_configuration_is_one_sentence_with_file_and_line_and_exit_code_2(run: Run, tmp_path: Path, command: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nsevrer: {}\n")
    more = {"ask": ["x"], "check": ["x", "--stage", "input"]}.get(command, [])
    result = run(command, *more, "--config", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"guardrail: {path}:2: unknown key 'sevrer'; did you mean 'server'?\n"


def test_a_failure_is_one_sentence_and_exit_code_1(run: Run, keywords: Path) -> None:
    result = run("ask", "What is virtue?", "--config", keywords)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "guardrail: The model server at http://127.0.0.1:9/v1 is down: the connection was refused.\n"


async def _crash(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def test_a_bug_is_one_sentence_that_says_how_to_see_more(run: Run, keywords: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guardrail, "reply", _crash)
    result = run("ask", "x", "--config", keywords)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "ZeroDivisionError" in result.stderr
    assert "GUARDRAIL_DEBUG=1" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_debug_variable_shows_the_traceback(keywords: Path) -> None:
    code = (
        "from guardrail import Guardrail\nfrom guardrail.cli.main import cli\n"
        f"Guardrail.reply = lambda *_, **__: 1 / 0\ncli.main(['ask', 'x', '--config', {str(keywords)!r}])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env={"GUARDRAIL_DEBUG": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_reader_that_leaves_is_met_with_silence() -> None:
    with started("config", "explain", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        stderr = process.stderr.read()
    assert (process.returncode, stderr) == (1, b"")


def test_a_terminal_that_lacks_a_letter_shows_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "ἀρετή.yaml"
    path.write_text("version: 1\n")
    with started("config", "check", path, env={"PYTHONIOENCODING": "latin-1"}) as process:
        stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, b"")
    assert stdout.endswith(b"/?????.yaml is valid.\n")


def test_verbose_logs_on_standard_error_and_leaves_standard_output_alone(keywords: Path) -> None:
    with started("-vv", "check", "--stage", "input", "--config", keywords, "hello there, what is virtue?") as process:
        stdout, stderr = process.communicate()
    assert process.returncode == 0
    assert stdout.startswith(b'{"decision":"pass"')
    assert b"DEBUG asyncio" in stderr
