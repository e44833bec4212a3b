"""`guardrail config`: is it right, and what does it amount to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from guardrail import Guardrail
from tests.cli.conftest import Run, objects

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "guardrail.yaml"


def explained(run: Run, *arguments: object, env: dict[str, str] | None = None) -> dict[str, Any]:
    result = run("config", "explain", *arguments, "--json", env=env)
    assert (result.exit_code, result.stderr) == (0, "")
    (found,) = objects(result)
    assert isinstance(found, dict)
    return found


def rail(explanation: dict[str, Any], id_: str) -> dict[str, Any]:
    (found,) = [rail for rail in explanation["rails"] if rail["id"] == id_]
    assert isinstance(found, dict)
    return found


def value(explanation: dict[str, Any], name: str) -> tuple[Any, str]:
    (found,) = [value for value in explanation["values"] if value["name"] == name]
    return found["value"], found["origin"]


def test_without_a_file_the_defaults_are_valid(run: Run) -> None:
    result = run("config", "check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "The built-in defaults are valid.\n", "")


def test_a_right_file_is_valid(run: Run, file: Path) -> None:
    file.write_text("version: 1\nserver: {port: 9000}\n")
    assert run("config", "check", file).stdout == f"{file} is valid.\n"
    assert objects(run("config", "check", file, "--json")) == [{"valid": True}]


WRONG = {
    "unknown key": ("sevrer: {}", ":1: unknown key 'sevrer'; did you mean 'server'?"),
    "wrong type": ("server:\n  port: high", ":2: server.port: "),
    "unknown rail": ("rails: [{id: intnet}]", "there is no rail 'intnet'; did you mean 'intent'?"),
    "bad pattern": ("rails: [{id: keywords, stage: input, options: {patterns: ['(']}}]", "keywords"),
    "unknown persona": ("personas: {allow: [kant]}", "there is no persona 'kant'"),
    "missing folder of personas": ("personas: {folder: /nonexistent}", "/nonexistent"),
    "unknown template": ("generator: {template: nope}", "there is no template 'nope'"),
    "model without a name": ("generator: {kind: openai, base_url: 'http://x/v1'}", "generator.model is missing"),
    "index that is not there": ("library: {index: /nonexistent}", "/nonexistent"),
    "nothing to quote from": ("library: {index: null}", "no library to speak from"),
    "store that is not installed": ("library: {vector_store: {factory: nowhere.Store}}", "nowhere is not installed"),
    "no YAML": ("a: [", "is not valid YAML"),
    "environment": ("server: {host: '${GUARDRAIL_TEST_UNSET}'}", "the environment variable GUARDRAIL_TEST_UNSET is not set"),
}


@pytest.mark.parametrize(("text", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_told_in_one_sentence_and_exit_code_2(run: Run, file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    result = run("config", "check", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr


def test_a_wrong_file_is_told_as_json_too(run: Run, file: Path) -> None:
    file.write_text("sevrer: {}")
    result = run("config", "check", file, "--json")
    assert result.exit_code == 2
    assert objects(result) == [{"valid": False, "error": f"{file}:1: unknown key 'sevrer'; did you mean 'server'?"}]


def test_explain_gives_the_default_rails_in_the_order_of_a_turn(run: Run) -> None:
    running = [(rail["id"], rail["stage"], rail["order"]) for rail in explained(run)["rails"] if rail["order"]]
    assert running == [
        ("limits", "input", 1),
        ("courtesy", "input", 2),
        ("control_tokens", "input", 3),
        ("personal_data", "input", 4),
        ("intent", "input", 5),
        ("attack", "input", 6),
        ("harm", "input", 7),
        ("sentiment", "input", 8),
        ("planted", "retrieval", 9),
        ("answerable", "retrieval", 10),
        ("prompt_leak", "output", 11),
        ("personal_data", "output", 12),
        ("grounding", "output", 13),
        ("generation", "output", 14),
    ]


def test_explain_says_why_a_rail_does_not_run(run: Run, keywords: Path) -> None:
    assert rail(explained(run), "keywords")["why_not"] == "the configuration does not name it"
    keywords.write_text(keywords.read_text() + "  - {id: grounding}\n")
    why_not = rail(explained(run, keywords), "grounding")["why_not"]
    assert why_not == "it reads the encoder and the library, and this configuration has no library"


def test_explain_gives_a_rails_mode_threshold_and_consequence(run: Run, file: Path) -> None:
    file.write_text("rails: [{id: grounding, mode: shadow, threshold: 0.75, on_fail: abstain}, {id: keywords, stage: input, options: {phrases: [x]}}]")
    explanation = explained(run, file)
    grounding = rail(explanation, "grounding")
    assert (grounding["mode"], grounding["threshold"], grounding["on_fail"]) == ("shadow", 0.75, "abstain")
    assert rail(explanation, "keywords")["order"] < grounding["order"]  # the stage decides before the place in the file


def test_explain_gives_the_thresholds_and_decisions_that_the_rails_really_have(run: Run) -> None:
    guard = Guardrail.default()
    try:
        unrelated = "He was born on the moon in 1999."
        check = guard.check_output(unrelated, passages=["Virtue is a mean between two vices."])
        abstention = guard.ask("What is the capital of Australia?")
    finally:
        guard.close()
    explanation = explained(run)
    for verdict in (*check.verdicts, *abstention.verdicts):
        (plan,) = [plan for plan in explanation["rails"] if (plan["id"], plan["stage"]) == (verdict.rail, verdict.stage)]
        assert plan["threshold"] is None or plan["threshold"] == pytest.approx(verdict.threshold, abs=1e-3)
        assert verdict.decision == "pass" or plan["on_fail"] in {"abstain", "drop"}
    assert {"grounding", "answerable"} <= {verdict.rail for verdict in (*check.verdicts, *abstention.verdicts) if verdict.decision != "pass"}


def test_explain_gives_cards_and_template_with_version_and_hash(run: Run) -> None:
    explanation = explained(run)
    words = [*explanation["personas"], explanation["template"]]
    assert [word["id"] for word in words] == ["plato", "aristotle", "brief"]
    assert all(word["version"] >= 1 and len(word["hash"]) == 64 for word in words)


def test_explain_says_where_each_value_comes_from(run: Run, file: Path) -> None:
    file.write_text("server:\n  port: ${GUARDRAIL_TEST_PORT}\n  host: 0.0.0.0\nrails:\n  - id: grounding\n    threshold: 0.5\n")
    explanation = explained(run, file, env={"GUARDRAIL_TEST_PORT": "9001"})
    assert value(explanation, "server.port") == (9001, f"{file}:2, environment GUARDRAIL_TEST_PORT")
    assert value(explanation, "server.host") == ("0.0.0.0", f"{file}:3")  # noqa: S104 - only a value to explain
    assert value(explanation, "rails[0].threshold") == (0.5, f"{file}:6")
    assert value(explanation, "rails[0].mode") == ("enforce", "default")
    assert value(explanation, "workers") == (2, "default")


def test_explain_never_shows_a_secret(run: Run, file: Path) -> None:
    file.write_text(
        "generator: {kind: openai, model: m, base_url: 'http://x/v1', api_key: sk-hidden-1}\nserver: {api_keys: [sk-hidden-2]}\n"
        "library: {vector_store: {factory: a.B, arguments: {password: sk-hidden-3, urls: [sk-hidden-4]}}}\n"
    )
    explanation = explained(run, file)
    assert value(explanation, "generator.api_key") == ("(hidden)", f"{file}:1")
    assert "sk-hidden" not in str(explanation)
    assert "sk-hidden" not in run("config", "explain", file).stdout


def test_the_text_of_explain_names_rails_words_and_values(run: Run, file: Path) -> None:
    file.write_text("rails: [{id: grounding, threshold: 0.6}]")
    text = run("config", "explain", file).stdout
    assert re.search(r"  3 +output +grounding +enforce +0\.6 +drop", text)
    assert re.search(r"  intent +input +the configuration does not name it", text)
    assert re.search(r"  template +brief +version 2", text)
    assert re.search(rf"rails\[0\]\.threshold +0\.6 +{re.escape(str(file))}:1\n", text)


def test_the_config_hash_changes_with_a_value(run: Run, file: Path) -> None:
    file.write_text("library: {passages: 3}")
    assert explained(run, file)["config_hash"] != explained(run)["config_hash"]
