"""The built-in library keeps its form; what it says is for people to reread."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from guardrail.index.builtin import LIBRARY

FILES = sorted(LIBRARY.rglob("*.jsonl"))
PASSAGES = [json.loads(line) for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]


def test_there_are_at_least_three_hundred_passages() -> None:
    assert len(PASSAGES) >= 300


def test_no_id_stands_twice() -> None:
    ids = [passage["id"] for passage in PASSAGES]
    assert len(set(ids)) == len(ids)


def test_no_question_is_said_to_be_answered_by_two_passages_of_a_shelf() -> None:
    asked = [(passage["persona"], question.lower()) for passage in PASSAGES for question in passage["questions"]]
    assert len(set(asked)) == len(asked)


def test_no_two_passages_say_the_same_words() -> None:
    assert len({passage["text"] for passage in PASSAGES}) == len(PASSAGES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_passage_of_a_file_has_its_form(file: Path) -> None:
    wrong = []
    for line in file.read_text(encoding="utf-8").splitlines():
        passage = json.loads(line)
        fine = (
            list(passage) == ["id", "title", "work", "locator", "persona", "questions", "text"]
            and passage["persona"] == file.parent.name
            and re.fullmatch(rf"{passage['persona']}\.[a-z0-9-]+", passage["id"])
            and all(passage.values())
            and all(question == " ".join(question.split()) and len(question.split()) > 1 for question in passage["questions"])
            and 80 <= len(passage["text"].split()) <= 160
            and passage["text"] == " ".join(passage["text"].split())
            and not re.search(r"[*_#<>\[\]]", passage["text"])
        )
        if not fine:
            wrong.append(passage["id"])
    assert wrong == []
