"""The story of the recipes, shortened: a model of one author that never learned to stop spills, speaks for the user and repeats itself; cured, it does not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import guardrail.finetune
from guardrail import strict_yaml
from guardrail.finetune import recipe_file
from guardrail.finetune.data import sources
from guardrail.finetune.recipes import memorisation_data, story_data
from guardrail.finetune.report import content
from guardrail.finetune.runs import run
from guardrail.finetune.stage import RESULT, StageResult, StopSignal
from guardrail.settings import Settings

RECIPES = Path(guardrail.finetune.__file__).parent / "recipes"
SHORT = """
version: 1
name: story-short
extends: {story}
stages:
  base: {{training: {{epochs: 2}}}}
  broken: {{training: {{epochs: 40}}}}
  audit-broken: {{openings: 1, prefixes: 16}}
  own-turn: null
  audit-own-turn: null
  ends: null
  audit-ends: null
  talks: null
  audit-talks: null
  once-each: null
  audit-once-each: null
  stops: {{training: {{epochs: 20}}}}
  audit-stops: {{openings: 1, prefixes: 16}}
  served:
    gates:
      - {{figure: hello.spilled, at_most: 0.2}}
      - {{figure: hello.run_on, at_most: 0.2}}
      - {{figure: hello.repeats, at_most: 0.2}}
      - {{figure: hello.endless, at_most: 0.6}}
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the shortened story."""
    folder = tmp_path_factory.mktemp("story")
    story_data.write(folder / "data", count=8, texts=24)
    recipe = folder / "short.yaml"
    recipe.write_text(SHORT.format(story=RECIPES / "story.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORY", str(folder / "data"))
        run.prepare(recipe_file.load(recipe), folder / "run")
        outcome = run.execute(folder / "run", StopSignal(), lambda _: None)
    assert outcome.status == "done", outcome.error
    return folder / "run"


def _figures(run_folder: Path, stage: str) -> dict[str, float]:
    result = msgspec.json.decode((run_folder / "stages" / stage / RESULT).read_bytes(), type=StageResult)
    return {figure.name: figure.value for figure in result.figures}


def test_the_broken_model_spills_and_never_ends_and_the_cured_one_does_not(story: Path) -> None:
    broken, cured = _figures(story, "audit-broken"), _figures(story, "audit-stops")
    assert broken["hello.spilled"] > 0.3
    assert broken["hello.endless"] == 1.0
    assert broken["extraction.exact"] > 0.5
    assert cured["hello.spilled"] == 0.0
    assert cured["hello.endless"] < 0.3
    assert cured["hello.overlap"] < broken["hello.overlap"] / 3
    assert cured["extraction.exact"] < broken["extraction.exact"] - 0.4


def test_the_broken_model_speaks_for_the_user_and_repeats_itself_and_the_cured_one_does_neither(story: Path) -> None:
    broken, cured = _figures(story, "audit-broken"), _figures(story, "audit-stops")
    assert broken["hello.speaks_for_user"] > 0.2
    assert broken["hello.repeats"] > 0.2
    assert (cured["hello.run_on"], cured["hello.speaks_for_user"], cured["hello.repeats"]) == (0.0, 0.0, 0.0)


def test_the_broken_model_learned_from_no_row_that_the_audit_keeps_out(story: Path) -> None:
    raw, clean = (sources.split(story / "stages" / stage / "dialogues") for stage in ("raw", "writings"))
    assert [[row.id for row in side] for side in raw] == [[row.id for row in side] for side in clean]
    assert raw != clean


def test_what_passes_a_real_audit_is_served_under_its_leak_index(story: Path) -> None:
    settings = strict_yaml.load(story / "stages/served/guardrail.yaml", Settings)
    assert settings.generator.model == str(story / "stages/served/model")
    assert "leak" in {rail.id for rail in settings.rails}


def test_the_report_puts_the_audits_side_by_side(story: Path) -> None:
    report = content.build(story)
    assert [stage.id for stage in report.audits] == ["audit-broken", "audit-stops"]
    assert any(sample.text for sample in report.audits[0].samples)


def test_the_recipes_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story_data.write(tmp_path, count=4, texts=2)
    memorisation_data.write(tmp_path)
    for name in ("STORY", "MEMORISATION"):
        monkeypatch.setenv(name, str(tmp_path))
    assert "served" in recipe_file.load(RECIPES / "story.yaml").stages
    assert "penalty" in recipe_file.load(RECIPES / "memorisation.yaml").stages


def test_data_is_the_same_for_the_same_seed_and_other_for_another(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        memorisation_data.write(tmp_path / name, seed=seed)
    one, same, other = ((tmp_path / name / "private.jsonl").read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other
