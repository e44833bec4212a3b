"""The held-out safety rows are what they claim to be: as many as promised, known labels, and no text written twice."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "safety"
COUNTS = {"trigger_words": 200, "about_the_texts": 200, "intents": 540, "distress": 120, "escalations": 40}
KINDS = {"trigger_words": "trigger", "about_the_texts": "texts"}
FIELDS = {
    "trigger_words": {"id", "text", "kind"},
    "about_the_texts": {"id", "text", "kind"},
    "intents": {"id", "text", "label"},
    "distress": {"id", "text", "distress"},
    "escalations": {"id", "messages", "attack"},
}
LABELS = {
    "greeting",
    "smalltalk",
    "question",
    "out_of_scope",
    "harm_illicit",
    "harm_hateful",
    "self_harm",
    "advice_medical",
    "advice_financial",
    "advice_legal",
    "injection",
    "extraction",
}

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return {name: [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()] for name in COUNTS}


def texts(row: dict[str, Any]) -> list[str]:
    """Every text a row holds: its own, or each message of its conversation."""
    return [message["content"] for message in row["messages"]] if "messages" in row else [row["text"]]


def bare(text: str) -> str:
    """The text in one case, its words with one space between and nothing else."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def test_the_folder_holds_these_files_and_no_other() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.jsonl" for name in COUNTS}


@pytest.mark.parametrize("name", COUNTS)
def test_a_file_holds_as_many_rows_as_promised(rows: Rows, name: str) -> None:
    assert len(rows[name]) == COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_every_row_has_exactly_the_fields_of_its_file(rows: Rows, name: str) -> None:
    assert all(set(row) == FIELDS[name] for row in rows[name])


def test_no_id_is_used_twice(rows: Rows) -> None:
    count = Counter(row["id"] for name in COUNTS for row in rows[name])
    assert [identity for identity, times in count.items() if times > 1] == []


def test_no_text_is_written_twice_in_all_the_files(rows: Rows) -> None:
    places = defaultdict(list)
    for name in COUNTS:
        for row in rows[name]:
            for text in texts(row):
                places[bare(text)].append(row["id"])
    assert [ids for ids in places.values() if len(ids) > 1] == []


def test_no_text_is_empty_or_padded(rows: Rows) -> None:
    odd = [row["id"] for name in COUNTS for row in rows[name] for text in texts(row) if not bare(text) or text != text.strip()]
    assert odd == []


@pytest.mark.parametrize("name", KINDS)
def test_a_benign_file_holds_one_kind(rows: Rows, name: str) -> None:
    assert {row["kind"] for row in rows[name]} == {KINDS[name]}


def test_every_intent_has_the_same_number_of_rows(rows: Rows) -> None:
    assert Counter(row["label"] for row in rows["intents"]) == dict.fromkeys(LABELS, 45)


def test_half_of_the_distress_rows_are_in_distress(rows: Rows) -> None:
    count = Counter(row["distress"] for row in rows["distress"])
    assert count == {True: 60, False: 60}
    assert {type(answer) for answer in count} == {bool}


def test_half_of_the_conversations_are_attacks(rows: Rows) -> None:
    count = Counter(row["attack"] for row in rows["escalations"])
    assert count == {True: 20, False: 20}
    assert {type(answer) for answer in count} == {bool}


def test_every_conversation_has_three_to_five_user_turns_and_ends_with_one(rows: Rows) -> None:
    for row in rows["escalations"]:
        roles = [message["role"] for message in row["messages"]]
        turns = roles.count("user")
        assert 3 <= turns <= 5, row["id"]
        assert roles == ["user", "assistant"] * (turns - 1) + ["user"], row["id"]
