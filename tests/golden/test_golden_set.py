"""The golden set is what it claims to be: big enough, in two equal halves, and it names passages that exist."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.golden import KINDS, Case, load

LIBRARY = Path(__file__).parents[2] / "index" / "library"


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return load()


@pytest.fixture(scope="module")
def library() -> dict[str, dict[str, str]]:
    documents = [json.loads(line) for path in sorted(LIBRARY.rglob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    return {document["id"]: document for document in documents}


def test_it_holds_as_many_of_each_kind_as_it_must(cases: list[Case]) -> None:
    count = Counter(case.kind for case in cases)
    least = {"answerable": 64, "unanswerable": 30, "outside": 20, "greeting": 16, "follow_up": 14}
    assert all(count[kind] >= least[kind] for kind in KINDS)
    assert len(cases) >= 140


def test_both_halves_hold_every_kind_equally(cases: list[Case]) -> None:
    count = Counter((case.kind, case.split) for case in cases)
    assert all(abs(count[kind, "tune"] - count[kind, "test"]) <= 2 for kind in KINDS)


def test_each_persona_has_half_of_every_kind(cases: list[Case]) -> None:
    count = Counter((case.kind, case.persona) for case in cases)
    assert all(count[kind, "plato"] == count[kind, "aristotle"] for kind in KINDS)


def test_ids_are_unique_and_no_question_stands_twice(cases: list[Case]) -> None:
    assert len({case.id for case in cases}) == len(cases)
    assert len({(case.persona, tuple(turn.content for turn in case.messages) or case.said) for case in cases}) == len(cases)


def test_every_expected_passage_is_in_the_library_under_its_persona(cases: list[Case], library: dict[str, dict[str, str]]) -> None:
    wrong = [(case.id, id_) for case in cases for id_ in case.expect.passages if id_ not in library or library[id_]["persona"] != case.persona]
    assert wrong == []


def test_a_question_that_is_to_be_answered_names_passages_and_no_other_does(cases: list[Case]) -> None:
    assert all((case.expect.reply == "answer") == bool(case.expect.passages) for case in cases)


def test_no_question_is_the_title_of_a_passage(cases: list[Case], library: dict[str, dict[str, str]]) -> None:
    def words(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.lower()))

    titles = {words(document["title"]) for document in library.values()}
    assert [case.id for case in cases if words(case.said) in titles] == []


def test_a_follow_up_is_a_conversation_that_ends_with_the_user(cases: list[Case]) -> None:
    for case in cases:
        assert (len(case.messages) > 1) == (case.kind == "follow_up")
        assert not case.messages or case.messages[-1].role == "user"
