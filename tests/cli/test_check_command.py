"""`guardrail check`: the rails alone, line by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Run, objects, started

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

FIELDS = ["decision", "intent", "sentiment", "verdicts"]


def lines(*values: object) -> str:
    return "".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values)


def check_lines(run: Run, config: Path, *values: object, stage: str = "input") -> Result:
    return run("check", "--stage", stage, "--config", config, "--jsonl", "-", stdin=lines(*values))


def test_a_text_gives_one_line_of_json_and_needs_no_model_that_writes(run: Run, keywords: Path) -> None:
    result = run("check", "--stage", "input", "--config", keywords, "the Secret  sauce")
    assert result.exit_code == 0
    (found,) = objects(result)
    assert list(found) == FIELDS
    assert found["decision"] == "block"
    assert found["verdicts"][0]["findings"] == [{"type": "phrase", "start": 4, "end": 17, "score": 1.0, "passage": None}]


def test_a_dash_reads_the_text_from_standard_input(run: Run, keywords: Path) -> None:
    assert objects(run("check", "--stage", "input", "--config", keywords, "-", stdin="secret sauce"))[0]["decision"] == "block"


def test_lines_come_back_in_order_under_their_ids(run: Run, keywords: Path) -> None:
    ids = [3, "two", None, {"a": [1]}, 1.5]
    result = check_lines(run, keywords, *({"id": id_, "text": "what is virtue?"} for id_ in ids))
    assert result.exit_code == 0
    assert [found["id"] for found in objects(result)] == ids
    assert all(list(found) == ["id", *FIELDS] for found in objects(result))


def test_a_conversation_is_checked_by_its_last_message(run: Run, keywords: Path) -> None:
    talk = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Welcome."}, {"role": "user", "content": "tell me the secret sauce"}]
    assert objects(check_lines(run, keywords, {"id": 1, "messages": talk}))[0]["decision"] == "block"


def test_the_output_stage_has_sentences(run: Run, keywords: Path) -> None:
    line = {"id": 7, "question": "What is it?", "text": "This is Top Secret.", "passages": ["Nothing."]}
    (found,) = objects(check_lines(run, keywords, line, stage="output"))
    assert list(found) == ["id", *FIELDS, "sentences"]
    assert found["decision"] == "block"


BAD = {
    "no JSON": "nope",
    "no object": "[1]",
    "no text": {"id": 4},
    "both": {"id": 4, "text": "x", "messages": []},
    "text of another type": {"id": 4, "text": 5},
    "no messages": {"id": 4, "messages": []},
    "unknown role": {"id": 4, "messages": [{"role": "tool", "content": "x"}]},
    "lone surrogate": '{"id": 4, "text": "\\ud800"}',
    "control character": '{"id": 4, "text": "a\\u0000b"}',
    "too long": {"id": 4, "text": "x" * 16_001},
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_line_gives_an_error_line_the_run_goes_on_and_the_exit_code_is_1(run: Run, keywords: Path, bad: object) -> None:
    result = check_lines(run, keywords, {"id": 1, "text": "x"}, bad, {"id": 2, "text": "secret sauce"})
    first, error, last = objects(result)
    assert result.exit_code == 1
    assert (first["id"], first["decision"], last["id"], last["decision"]) == (1, "pass", 2, "block")
    assert list(error) == ["id", "error"]
    assert error["id"] == (4 if "id" in str(bad) else None)


def test_lines_of_a_file_with_a_byte_order_mark_and_blank_lines_are_read(run: Run, keywords: Path, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": 1, "text": "x"}\r\n\r\n{"id": 2, "text": "y"}')
    result = run("check", "--stage", "input", "--config", keywords, "--jsonl", path)
    assert (result.exit_code, [found["id"] for found in objects(result)]) == (0, [1, 2])


def test_each_line_is_answered_before_the_next_is_needed(keywords: Path) -> None:
    with started("check", "--stage", "input", "--config", keywords, "--jsonl", "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for id_ in (1, 2):
            process.stdin.write(lines({"id": id_, "text": "x"}).encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == id_
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stage", "input"],
        ["--stage", "input", "x", "--jsonl", "-"],
        ["--stage", "input", "x", "--question", "y"],
        ["--stage", "output", "--jsonl", "-", "--passage", "y"],
        ["--stage", "input", "--jsonl", "/nonexistent"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together_are_bad_usage(run: Run, arguments: list[str]) -> None:
    result = run("check", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_the_default_rails_tell_a_supported_sentence_from_an_invented_one(run: Run) -> None:
    passage = "The eel alone has neither seed nor egg. It comes from what are called the entrails of the earth."
    answer = "Eels come from the entrails of the earth. They were discovered by Napoleon in 1812."
    (found,) = objects(run("check", "--stage", "output", answer, "--question", "Where do eels come from?", "--passage", passage))
    true, invented = found["sentences"]
    assert true["passage"] == 0
    assert true["support"] > invented["support"]
    assert found["decision"] != "pass"
    assert answer[true["start"] : true["end"]].strip() == "Eels come from the entrails of the earth."


def test_the_default_rails_read_the_intent(run: Run) -> None:
    result = run("check", "--stage", "input", "--jsonl", "-", stdin=lines({"id": 1, "text": "hello"}, {"id": 2, "text": "What are the four causes?"}))
    greeting, question = objects(result)
    assert greeting["intent"]["label"] == "greeting"
    assert question["intent"]["label"] == "question"
    assert greeting["decision"] == question["decision"] == "pass"
