from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

PASSAGE = "The soul has three parts, which are reason, spirit and appetite. Reason ought to rule the whole soul, since it alone looks ahead."
SAID = ("The soul has three parts, which are reason, spirit and appetite.", "Reason ought to rule the whole soul, since it alone looks ahead.")
MADE_UP = ("The best cheese is made from goats' milk in spring.", "Rain falls because clouds cool down over the sea.")


def written(path: Path, good: int, bad: int) -> Path:
    lines = [{"text": SAID[number % 2], "passages": [f"{PASSAGE} This is copy {number}."], "supported": True} for number in range(good)]
    lines += [{"text": MADE_UP[number % 2], "passages": [PASSAGE], "supported": False, "question": "What?"} for number in range(bad)]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    return path


def test_pairs_become_a_threshold_with_intervals_and_a_fragment_that_is_yaml(run: Callable[..., Result], tmp_path: Path) -> None:
    pairs, out, config = written(tmp_path / "pairs.jsonl", 20, 20), tmp_path / "fragment.yaml", tmp_path / "guardrail.yaml"
    config.write_text("rails:\n  - {id: grounding}\n")
    result = run("calibrate", "--pairs", pairs, "--target", "fpr=0.05", "--json", "--out", out, "--config", config)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["rail"] == "grounding"
    assert found["threshold"]["low"] <= found["threshold"]["value"] <= found["threshold"]["high"]
    assert (found["recall"]["value"], found["fpr"]["value"], found["good"], found["bad"], found["met"]) == (1.0, 0.0, 20, 20, True)
    (rail,) = yaml.safe_load(out.read_text())["rails"]
    assert rail == {"id": "grounding", "threshold": pytest.approx(found["threshold"]["value"], abs=1e-4)}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "Line 2 of the pairs cannot be read: it is not valid JSON"),
        ('{"text": "a", "passages": ["b"]}', "Line 2 of the pairs cannot be read: Object missing required field `supported`"),
        ('{"text": "a", "passages": ["b"], "supported": 1}', "Line 2 of the pairs cannot be read: Expected `bool`, got `int`"),
        ('{"text": "a", "passages": [], "supported": true}', "Line 2 of the pairs cannot be used: it needs a text and at least one passage"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_before_anything_is_loaded(run: Callable[..., Result], tmp_path: Path, line: str, sentence: str) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"text": "a", "passages": ["b"], "supported": true}\n' + line + "\n")
    result = run("calibrate", "--pairs", pairs)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(("good", "bad", "sentence"), [(5, 25, "only 5 supported rows"), (25, 0, "None of the 25 rows is unsupported")])
def test_too_few_or_one_sided_pairs_are_refused_in_one_sentence(run: Callable[..., Result], tmp_path: Path, good: int, bad: int, sentence: str) -> None:
    result = run("calibrate", "--pairs", written(tmp_path / "pairs.jsonl", good, bad))
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert sentence in result.stderr


@pytest.mark.parametrize("target", ["precision", "precision=much", "accuracy=0.9", "recall=1.5", "recall=nan"])
def test_a_target_that_is_none_is_refused_with_the_ones_there_are(run: Callable[..., Result], tmp_path: Path, target: str) -> None:
    result = run("calibrate", "--pairs", written(tmp_path / "pairs.jsonl", 1, 1), "--target", target)
    assert result.exit_code == 2
    assert "give precision=, recall= or fpr=" in result.stderr


def test_a_configuration_without_grounding_has_nothing_to_calibrate(run: Callable[..., Result], tmp_path: Path, keywords: Path) -> None:
    result = run("calibrate", "--pairs", written(tmp_path / "pairs.jsonl", 20, 20), "--config", keywords)
    assert result.exit_code == 2
    assert "no grounding rail" in result.stderr
