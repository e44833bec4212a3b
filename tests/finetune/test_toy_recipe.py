"""The toy recipe in a shorter form: every stage once, from made data to a folder that is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from guardrail import Answer, Guardrail
from guardrail.cli.main import cli
from guardrail.finetune import recipe_file
from guardrail.finetune.recipe import KINDS
from guardrail.finetune.recipes import toy_data

RECIPE = Path(toy_data.__file__).with_name("toy.yaml")
SHORTER = f"""
version: 1
name: toy-short
extends: {RECIPE}
stages:
  base: {{training: {{epochs: 1}}}}
  sft: {{training: {{epochs: 2}}}}
  reward: {{training: {{epochs: 1}}}}
  dpo: {{training: {{epochs: 1}}}}
  rejection: {{samples: 4, training: {{epochs: 1}}}}
  ppo: {{updates: 6}}
  rloo: {{training: {{epochs: 1}}}}
  grpo: {{training: {{epochs: 1}}}}
  audit-sft: &short {{openings: 1, prefixes: 16, max_tokens: 16}}
  audit: *short
  promote: {{gates: [{{figure: hello.endless, at_most: 1.0}}]}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    toy_data.write(folder / "data")
    (folder / "short.yaml").write_text(SHORTER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY", str(folder / "data"))
        done = CliRunner().invoke(cli, ["finetune", "run", str(folder / "short.yaml"), "--out", str(folder / "run")])
    assert done.exit_code == 0, done.stderr
    return folder / "run"


def test_every_kind_of_stage_has_run(run: Path) -> None:
    recipe = recipe_file.load_resolved(run / "recipe.yaml")
    assert {settings.kind for settings in recipe.stages.values()} == set(KINDS)
    assert all((run / "stages" / stage / "result.json").is_file() for stage in recipe.stages)


def test_the_report_has_a_figure_of_every_stage_that_measures(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    silent = [stage["id"] for stage in report["stages"] if not stage["figures"]]
    assert silent == ["untouched"]


def test_what_was_promoted_is_served(run: Path) -> None:
    guard = Guardrail.from_config(run / "stages" / "promote" / "guardrail.yaml")
    try:
        reply = guard.ask("What are the four causes?", persona="aristotle")
    finally:
        guard.close()
    assert isinstance(reply, Answer)
    assert reply.citations
