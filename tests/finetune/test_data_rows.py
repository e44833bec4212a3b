"""Rows are read strictly, and what is wrong is told with its line."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.errors import ConfigurationError
from guardrail.finetune.data import rows
from guardrail.finetune.data.rows import Dialogue, Preference, Prompt, Question, Text, Turn

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_SPOKEN = st.lists(st.tuples(_TEXT, _TEXT.filter(str.strip)), min_size=1, max_size=3)


@given(spoken=st.lists(_SPOKEN, min_size=1, max_size=4), system=st.booleans())
def test_dialogues_come_back_as_they_were_written(spoken: list[list[tuple[str, str]]], system: bool) -> None:
    written = [
        Dialogue(
            id=f"row {number}",
            messages=(
                *([Turn(role="system", content="s")] if system else []),
                *(turn for user, assistant in pairs for turn in (Turn(role="user", content=user), Turn(role="assistant", content=assistant))),
            ),
        )
        for number, pairs in enumerate(spoken)
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        rows.write(path, written)
        assert list(rows.read(path, Dialogue)) == written


@pytest.mark.parametrize(
    ("kind", "line", "told"),
    [
        (Dialogue, '{"messages": [{"role": "user", "content": "a"}', "no row of the kind expected"),
        (Dialogue, '{"message": []}', "no row of the kind expected"),
        (Dialogue, '{"messages": [{"role": "bot", "content": "a"}]}', "no row of the kind expected"),
        (Dialogue, '{"messages": [{"role": "user", "content": "a"}]}', "the assistant says nothing"),
        (Dialogue, '{"messages": [{"role": "assistant", "content": "a"}]}', "the user's turn is"),
        (Dialogue, '{"messages": []}', "there are no messages"),
        (Preference, '{"prompt": "a", "chosen": "b", "rejected": " b "}', "the same text"),
        (Preference, '{"prompt": "a", "chosen": "b", "rejected": ""}', "no row of the kind expected"),
        (Preference, '{"prompt": "a", "chosen": "b", "rejected": "c", "strength": 5}', "no row of the kind expected"),
        (Question, '{"messages": [{"role": "user", "content": "a"}], "passages": []}', "no row of the kind expected"),
        (Prompt, '{"prompt": "a", "passages": ["p", "q"], "works": ["w"]}', "there are 2 passages and 1 in works: name the work of each passage, or of none"),
        (Question, '{"messages": [{"role": "user", "content": "a"}], "passages": [], "answer": "b", "works": ["w"]}', "there are 0 passages and 1 in works"),
        (
            Dialogue,
            '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "passages": ["p"], "works": ["v", "w"]}',
            "there are 1 passages and 2 in works",
        ),
        (Prompt, '{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}', "the last message of a prompt"),
        (Text, "\\ud800 no json", "no row of the kind expected"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, kind: type[Text], line: str, told: str) -> None:
    good = {
        Dialogue: '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        Preference: '{"prompt": "a", "chosen": "b", "rejected": "c"}',
        Question: '{"messages": [{"role": "user", "content": "a"}], "passages": ["p"], "answer": "b"}',
        Prompt: '{"prompt": "a"}',
        Text: '{"text": "a", "other": 1}',
    }[kind]
    path = tmp_path / "rows.jsonl"
    path.write_text(f"\ufeff{good}\n\n{line}\n")
    with pytest.raises(ConfigurationError, match=rf"rows\.jsonl:3: .*{told}"):
        list(rows.read(path, kind))


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n\n")
    with pytest.raises(ConfigurationError, match="holds no rows"):
        list(rows.read(path, Text))


def test_a_row_without_an_id_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "id": "mine"}\n')
    assert [row.id for row in rows.read(path, Text)] == ["rows.jsonl:1", "mine"]
