"""`guardrail index` as a user meets it: the real encoder, data on standard output, everything else on standard error."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from guardrail.cli.index import index

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {
        "id": "cave",
        "title": "The Cave",
        "work": "Republic",
        "locator": "VII 514a",
        "persona": "plato",
        "text": "Prisoners in a cave see only shadows on a wall.",
    },
    {"id": "causes", "title": "Four causes", "work": "Physics", "persona": "aristotle", "text": "There are four causes: matter, form, mover and end."},
    {"id": "mean", "title": "The mean", "work": "Ethics", "persona": "aristotle", "text": "Virtue of character is a mean between two vices."},
]


def run(*arguments: object, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(index, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    result = run("build", folder / "rows.jsonl", "--out", folder / "index")
    assert result.exit_code == 0, result.stderr
    assert "3 added" in result.stdout
    return folder / "index"


def found(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    passages: list[dict[str, Any]] = json.loads(result.stdout)["passages"]
    return passages


def test_search_finds_the_right_passage_first(built: Path) -> None:
    passages = found(run("search", "What do the prisoners in the cave see?", "--index", built, "--json"))
    assert passages[0]["source_id"] == "cave"
    assert list(passages[0]) == ["id", "source_id", "title", "work", "locator", "persona", "text", "score", "start", "end"]
    assert passages[0]["text"] == ROWS[0]["text"][passages[0]["start"] : passages[0]["end"]]
    assert [passage["score"] for passage in passages] == sorted((passage["score"] for passage in passages), reverse=True)


def test_search_filters_and_limits(built: Path) -> None:
    assert {passage["source_id"] for passage in found(run("search", "cave", "--index", built, "--persona", "aristotle", "--json"))} <= {"causes", "mean"}
    assert {passage["source_id"] for passage in found(run("search", "virtue", "--index", built, "--work", "physics", "--json"))} <= {"causes"}
    assert len(found(run("search", "virtue", "--index", built, "--k", "1", "--json"))) == 1


def test_search_for_people_shows_work_and_locator(built: Path) -> None:
    assert "The Cave (Republic, VII 514a)" in run("search", "shadows in a cave", "--index", built).stdout


def test_search_answers_jsonl_in_order_and_names_bad_lines(built: Path) -> None:
    lines = ['{"id": "b", "text": "four causes"}', "{", '{"id": 7}', '{"id": 1, "text": "virtue is a mean"}']
    result = run("search", "--jsonl", "-", "--index", built, stdin="\n".join(lines))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [answer["id"] for answer in answers] == ["b", None, 7, 1]
    assert [answer["passages"][0]["source_id"] for answer in (answers[0], answers[3])] == ["causes", "mean"]
    assert all(answer["error"] for answer in answers[1:3])


@pytest.mark.parametrize("arguments", [(), ("text", "--jsonl", "-"), ("  ",), ("text", "--k", "0"), ("text", "--jsonl", "nowhere.jsonl")])
def test_bad_usage_is_exit_code_2(built: Path, arguments: tuple[str, ...]) -> None:
    assert run("search", *arguments, "--index", built).exit_code == 2


def test_a_missing_index_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    for command in (("search", "x"), ("info",), ("sync",), ("remove", "x")):
        result = run(*command, "--index", tmp_path / "none")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: There is no index at")
        assert result.stdout == ""


def test_a_missing_path_is_exit_code_2(tmp_path: Path) -> None:
    assert run("build", tmp_path / "none", "--out", tmp_path / "index").exit_code == 2


def test_bad_files_end_with_exit_code_1_after_the_good_ones_are_in(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("A good text.")
    (tmp_path / "bad.txt").write_bytes(b"\0\1\2")
    result = run("build", tmp_path, "--out", tmp_path / "index", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["added"], report["failed"]) == (1, [{"path": "bad.txt", "reason": "The file is binary, not text."}])
    assert "bad.txt: The file is binary, not text." in result.stderr
    assert run("info", "--index", tmp_path / "index").exit_code == 0


def test_progress_is_lines_on_standard_error_with_rate_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail.cli.index._Meter.LINE_SECONDS", 0.0)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    lines = run("build", tmp_path / "rows.jsonl", "--out", tmp_path / "index").stderr.splitlines()
    assert {"read 0/1", "read 1/1", "cut 3/3", "embedded 0/3", "written 3/3"} <= set(lines)
    assert any(re.fullmatch(r"embedded 3/3, \d+/s, 0:00 left", line) for line in lines)


def test_build_sync_info_and_remove_agree(tmp_path: Path) -> None:
    books, out = tmp_path / "books", tmp_path / "index"
    books.mkdir()
    (books / "a.md").write_text("# Courage\n\nCourage is a mean.")
    (books / "b.md").write_text("# Justice\n\nJustice is a whole.")
    assert run("build", books, "--out", out, "--persona", "aristotle", "--work", "Ethics").exit_code == 0
    (books / "a.md").unlink()
    (books / "c.md").write_text("# Friendship\n\nA friend is another self.")
    synced = json.loads(run("sync", "--out", out, "--json").stdout)
    assert (synced["added"], synced["unchanged"], synced["deleted"]) == (1, 1, 1)
    info = json.loads(run("info", "--index", out, "--sources", "--json").stdout)
    assert [(source["source_id"], source["work"], source["persona"]) for source in info["sources"]] == [
        ("b.md", "Ethics", "aristotle"),
        ("c.md", "Ethics", "aristotle"),
    ]
    assert info["encoder"]["name"] == "all-MiniLM-L6-v2"
    assert run("remove", "b.md", "--out", out).exit_code == 0
    assert "1 documents, 1 passages" in run("info", "--index", out).stdout
