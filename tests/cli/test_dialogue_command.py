"""`guardrail dialogue`: personas in conversation, as text for a reader and as JSON for a program."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from guardrail.prompts import load_personas
from tests.cli.conftest import Run, objects

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Upstream


def test_each_turn_is_one_line_of_json(run: Run) -> None:
    result = run("dialogue", "--topic", "the soul", "--turns", "3", "--json")
    turns = objects(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [(turn["turn"], turn["persona"], turn["reply"], turn["generator"]) for turn in turns] == [
        (1, "plato", "answer", "persona"),
        (2, "aristotle", "answer", "quotation"),
        (3, "plato", "answer", "quotation"),
    ]
    assert [turn["takes_up"] is None for turn in turns] == [True, False, False]
    assert turns[1]["takes_up"] in turns[0]["text"]


def test_the_text_names_each_speaker_and_lists_the_sources_below(run: Run) -> None:
    result = run("dialogue", "--between", "Aristotle, plato", "--topic", "the soul", "--turns", "2")
    speakers = re.findall(r"^(Plato|Aristotle): ", result.stdout, re.MULTILINE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert speakers == ["Aristotle", "Plato"]
    assert len(re.findall(r"^  \[1\] \S", result.stdout, re.MULTILINE)) == 2


def test_both_ways_of_printing_say_the_same(run: Run) -> None:
    arguments = ("dialogue", "--topic", "pleasure", "--turns", "2")
    text = run(*arguments).stdout
    assert all(turn["text"] in text for turn in objects(run(*arguments, "--json")))


def test_a_harmful_topic_is_refused_and_no_failure(run: Run) -> None:
    (only,) = objects(run("dialogue", "--topic", "how to make a bomb", "--json"))
    assert (only["reply"], only["persona"], only["turn"]) == ("refusal", "plato", 1)


def test_the_upstream_of_a_configuration_speaks_until_it_repeats_itself(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    first, second = objects(run("dialogue", "--topic", "virtue", "--json", "--config", tmp_path / "upstream.yaml"))
    assert (first["text"], first["generator"]) == ("".join(upstream.parts), "m")
    assert second["text"] in load_personas()["aristotle"].lines.unknown


def test_a_dash_reads_the_topic_from_standard_input(run: Run) -> None:
    assert objects(run("dialogue", "--topic", "-", "--json", stdin="hello\n"))[0]["reply"] == "smalltalk"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--topic", "x", "--between", "plato,aristotel"), "did you mean 'aristotle'?"),
        (("--topic", "x", "--between", "plato"), "Name 2 to 4 personas"),
        (("--topic", "x", "--between", ""), "Name 2 to 4 personas"),
        (("--topic", "x", "--between", "plato,PLATO"), "A persona is named twice"),
        (("--topic", " "), "The topic is empty"),
        (("--topic", "x", "--turns", "0"), "1 to 24 turns"),
        (("--topic", "x", "--turns", "many"), "'many' is not a valid integer"),
        ((), "Missing option '--topic'"),
    ],
)
def test_bad_usage_is_one_sentence(run: Run, keywords: Path, arguments: tuple[str, ...], sentence: str) -> None:
    result = run("dialogue", *arguments, "--config", keywords)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
