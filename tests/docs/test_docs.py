"""What the README and the docs show works as it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from guardrail import Guardrail, strict_yaml
from guardrail.evaluate import gate_file
from guardrail.evaluate.suites import SUITES, load
from guardrail.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def blocks(language: str) -> list[ParameterSet]:
    found = []
    for page in PAGES:
        for number, match in enumerate(_BLOCK.finditer(page.read_text()), 1):
            if match.group(1) == language:
                found.append(pytest.param(match.group(2), id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_block_runs(code: str, default_server: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code.replace("http://127.0.0.1:8000", default_server), "block", "exec"), {})  # noqa: S102 - the blocks are ours
    assert capsys.readouterr().out.strip() or "SUITE" in code  # a suite says nothing until it is run


@pytest.mark.parametrize("code", [block for block in blocks("sh") if "make " not in str(block.values[0])])
def test_a_shell_block_runs(code: str, tmp_path: Path) -> None:
    command = shutil.which("guardrail", path=str(Path(sys.executable).parent))
    assert command, "the command is not installed: run make setup"
    script = f'set -eu\nguardrail() {{ "{command}" "$@"; }}\n{code}'
    done = subprocess.run(["/bin/bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_offline_start_answers_from_the_visitors_own_text(tmp_path: Path) -> None:
    (code,) = [block.values[0] for block in blocks("sh") if "museum" in str(block.values[0])]
    command = shutil.which("guardrail", path=str(Path(sys.executable).parent))
    script = f'set -eu\nguardrail() {{ "{command}" "$@"; }}\n{code}'
    done = subprocess.run(["/bin/bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    answer = done.stdout.split("guardrail.yaml is valid.")[1]
    assert "It closes at six on Sundays. [1]" in answer


def test_the_default_that_is_written_out_is_the_default() -> None:
    (code,) = [block.values[0] for block in blocks("yaml") if block.id == "docs/configuration.md-1"]
    assert strict_yaml.loads(str(code), Settings) == Settings()


@pytest.mark.parametrize("code", [block for block in blocks("yaml") if not re.search("^(stages|gates):", str(block.values[0]), re.MULTILINE)])
def test_a_configuration_is_valid(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the files that it names are made where it runs
    settings = strict_yaml.loads(code, Settings)
    assert Guardrail(settings).config_hash


@pytest.mark.parametrize("code", [block for block in blocks("yaml") if re.search("^gates:", str(block.values[0]), re.MULTILINE)])
def test_a_gate_file_is_valid_and_names_measures_that_there_are(code: str, tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text(code)
    known = {f"{suite.name}.{part.name}.{measure.name}" for suite in map(load, SUITES) for part in suite.parts for measure in part.measures}
    assert {gate.measure.split("[")[0] for gate in gate_file.load(tmp_path / "gates.yaml").gates} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [target for target in _LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_tree_in_the_readme_names_every_module() -> None:
    tree = (ROOT / "README.md").read_text().split("## The tree")[1]
    modules = [path.name for path in (ROOT / "guardrail").glob("*.py") if not path.name.startswith("__")]
    assert [module for module in modules if module not in tree] == []
