from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import objects, started
from tests.finetune.made_run import make
from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    Run = Callable[..., Result]

CHAIN = "version: 1\nname: chain\nstages:\n  one: {kind: control, model: tiny}\n  two: {kind: control, model: one}\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def recipe(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shutil.copytree(tiny, tmp_path / "tiny")
    path = tmp_path / "chain.yaml"
    path.write_text(CHAIN)
    monkeypatch.chdir(tmp_path)
    held = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}  # the command takes them over
    yield path
    for number, handler in held.items():
        signal.signal(number, handler)


def test_a_run_ends_in_a_report_in_the_folder_named_for_its_recipe(run: Run, recipe: Path) -> None:
    result = run("finetune", "run", recipe)
    assert (result.exit_code, result.stdout) == (0, "runs/chain/report.html\n")
    assert "one: runs, never ran" in result.stderr
    assert all((recipe.parent / "runs/chain" / f"report.{kind}").is_file() for kind in ("json", "md", "html"))


def test_a_run_and_its_resumption_tell_programs_what_ran(run: Run, recipe: Path) -> None:
    (first,) = objects(run("finetune", "run", recipe, "--out", "here", "--only", "one", "--json"))
    assert first["outcome"] == {"status": "done", "ran": ["one"], "skipped": [], "stage": None, "error": None}
    (second,) = objects(run("finetune", "resume", "here", "--json"))
    assert (second["outcome"]["ran"], second["outcome"]["skipped"]) == (["two"], ["one"])


def test_a_plan_is_a_table_or_one_line_of_json_for_a_recipe_and_for_a_run(run: Run, recipe: Path) -> None:
    told = run("finetune", "plan", recipe)
    assert told.exit_code == 0
    assert "2 of 2 stages would run" in told.stdout
    run("finetune", "run", recipe, "--out", "here")
    (found,) = objects(run("finetune", "plan", "here", "--json"))
    assert [stage["action"] for stage in found["stages"]] == ["skip", "skip"]


def test_a_stage_that_fails_leaves_with_one_and_a_sentence(run: Run, recipe: Path) -> None:
    (recipe.parent / "tiny/config.json").unlink()
    result = run("finetune", "run", recipe)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("guardrail: The stage 'one' failed. There is no model in ")
    assert "failed" in run("finetune", "show", "runs/chain").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "none.yaml"), "none.yaml: cannot be read"),
        (("resume", "nowhere"), "is no run folder"),
        (("show", "nowhere"), "is no run folder"),
        (("diff", "nowhere", "nowhere"), "recipe.yaml cannot be read"),
        (("plan", "nowhere"), "cannot be read"),
        (("run", "chain.yaml", "--only", "three"), "There is no stage 'three'; the stages are: one, two."),
        (("run", "chain.yaml", "--only", "two"), "needs 'one', which is not done"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(run: Run, recipe: Path, arguments: tuple[str, ...], sentence: str) -> None:
    result = run("finetune", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_show_prints_the_tables_and_diff_what_is_otherwise(run: Run, tmp_path: Path) -> None:
    made = make(tmp_path)
    shown = run("finetune", "show", made)
    assert shown.exit_code == 0
    assert "extraction.exact (share) | 0.250 | [0.210, 0.290] | 200 | lower" in " ".join(shown.stdout.split())
    (report,) = objects(run("finetune", "show", made, "--json"))
    assert [stage["id"] for stage in report["stages"]][-1] == "audit-ppo"
    same = run("finetune", "diff", made, made)
    assert same.stdout.startswith("The settings are the same.")
    (found,) = objects(run("finetune", "diff", made, made, "--json"))
    assert found["settings"] == []


def test_the_commands_name_themselves(run: Run) -> None:
    helped = run("finetune", "--help").stdout
    assert all(name in helped for name in ("plan", "run", "resume", "show", "diff"))


def test_a_run_that_is_killed_is_gone_on_with(run: Run, recipe: Path) -> None:
    process = started("finetune", "run", recipe, "--out", recipe.parent / "here")
    deadline = time.monotonic() + 60
    while not (recipe.parent / "here/manifest.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    result = run("finetune", "resume", "here", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["outcome"]["status"] == "done"
