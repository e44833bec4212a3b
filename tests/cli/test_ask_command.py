"""`guardrail ask`: one turn, as text for a reader and as JSON for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Run, objects

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Upstream


def test_the_four_causes_are_answered_with_citations_into_the_right_works(run: Run) -> None:
    result = run("ask", "What are the four causes?", "--persona", "aristotle", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (reply,) = objects(result)
    assert {"reply", "text", "persona", "citations", "verdicts", "generator", "timings_ms"} <= set(reply)
    assert (reply["reply"], reply["persona"], reply["generator"]) == ("answer", "aristotle", "persona")
    assert reply["citations"][0]["work"] in {"Physics", "Metaphysics"}
    for citation in reply["citations"]:
        assert citation["marker"] in reply["text"]
        assert reply["text"][citation["answer_start"] : citation["answer_end"]].strip()
        start, end = (citation[name] - citation["passage_start"] for name in ("source_start", "source_end"))
        assert citation["text"][start:end].strip()


def test_hello_is_small_talk_of_less_than_300_characters(run: Run) -> None:
    (reply,) = objects(run("ask", "hello", "--json"))
    assert (reply["reply"], reply["persona"], reply["citations"]) == ("smalltalk", "plato", [])
    assert len(reply["text"]) < 300


def test_what_the_library_does_not_hold_is_an_abstention_and_no_failure(run: Run) -> None:
    result = run("ask", "What will the weather be like in Berlin tomorrow?", "--json")
    assert (result.exit_code, objects(result)[0]["reply"]) == (0, "abstention")


def test_the_text_shows_the_reply_and_then_each_source_once_by_its_number(run: Run) -> None:
    result = run("ask", "Why is lending money at interest wrong?", "--persona", "Aristotle")
    text, _, listing = result.stdout.strip().rpartition("\n\n")
    numbers = [line.partition("]")[0] for line in listing.splitlines()]
    assert result.exit_code == 0
    assert numbers == [f"[{number}" for number in range(1, len(numbers) + 1)]
    assert "[1]" in text
    assert "Politics" in listing


def test_a_dash_reads_the_question_from_standard_input(run: Run) -> None:
    assert objects(run("ask", "-", "--json", stdin="good evening!\n"))[0]["reply"] == "smalltalk"


def test_the_upstream_of_a_configuration_writes_and_is_named(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    (reply,) = objects(run("ask", "What is virtue?", "--json", "--config", tmp_path / "upstream.yaml"))
    assert reply["text"] == "".join(upstream.parts)
    assert reply["generator"] == "m"


def test_text_that_steers_a_terminal_is_not_passed_on(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    upstream.parts = ["\x1b[2JVirtue is\r knowledge.\x07"]
    assert run("ask", "What is virtue?", "--config", tmp_path / "upstream.yaml").stdout == "[2JVirtue is knowledge.\n"


@pytest.mark.parametrize("persona", ["socrates", "", "../plato"])
def test_an_unknown_persona_is_bad_usage_that_names_the_known_ones(run: Run, persona: str) -> None:
    result = run("ask", "x", "--persona", persona)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "aristotle, plato" in result.stderr


def test_without_plato_the_first_offered_persona_answers(run: Run, keywords: Path) -> None:
    keywords.write_text(keywords.read_text() + "personas: {allow: [aristotle]}\n")
    keywords.write_text(keywords.read_text().replace("generator: {kind: openai, model: m, base_url: 'http://127.0.0.1:9/v1', retries: 0}\n", ""))
    keywords.write_text(keywords.read_text().replace("library: {index: null}\n", ""))
    assert objects(run("ask", "hello", "--json", "--config", keywords))[0]["persona"] == "aristotle"


@pytest.mark.parametrize("text", [b"x" * 1_000_000, b"a\x00b", b"\xff\xfe"], ids=["too long", "control character", "no UTF-8"])
def test_bad_text_is_one_sentence_that_does_not_repeat_it(run: Run, text: bytes) -> None:
    result = run("ask", "-", stdin=text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr) < 200
    assert result.stderr.count("\n") == 1
