"""Sentences end where a reader would say, and at the same places in a stream as in the whole text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail import sentences

PROSE = st.lists(
    st.sampled_from(
        [
            "The soul",
            " is",
            " immortal",
            ".",
            "!",
            "?",
            "...",
            " ",
            "\n",
            "\n\n",
            '"',
            "'",
            ")",
            "[1]",
            " [12]",
            "e.g.",
            "Mr.",
            " J. L.",
            "3.5",
            "514a",
            "and",
            "So",
            "- ",
            "é",
            "。",
        ]
    ),
    max_size=40,
).map("".join)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences.spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Virtue is knowledge. Nobody errs willingly.", ["Virtue is knowledge.", "Nobody errs willingly."]),
        ('"Is it so?" he asked. It is.', ['"Is it so?" he asked.', "It is."]),
        ("He wrote 3.5 books, e.g. the Crito. Fine.", ["He wrote 3.5 books, e.g. the Crito.", "Fine."]),
        ("It is said. [1] So be it. [2]", ["It is said. [1]", "So be it. [2]"]),
        ("J. L. Ackrill wrote it. So did C. D. C. Reeve.", ["J. L. Ackrill wrote it.", "So did C. D. C. Reeve."]),
        ("See Laws X. The gods exist.", ["See Laws X.", "The gods exist."]),
        ("A heading\n\nA paragraph", ["A heading", "A paragraph"]),
        ("One:\n- first\n- second", ["One:", "- first", "- second"]),
        ("   ", []),
        ("", []),
        ("No end", ["No end"]),
    ],
)
def test_sentences_end_where_a_reader_would_say(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@given(PROSE)
def test_a_prefix_never_gives_a_sentence_that_the_whole_text_has_not(text: str) -> None:
    whole = sentences.spans(text)
    for end in range(len(text) + 1):
        certain = sentences.spans(text[:end], final=False)
        assert certain == whole[: len(certain)]


@given(PROSE)
def test_only_white_space_lies_between_sentences(text: str) -> None:
    position = 0
    for start, end in sentences.spans(text):
        assert text[position:start].strip() == ""
        assert text[start:end].strip() == text[start:end] != ""
        position = end
    assert text[position:].strip() == ""


def test_text_without_an_end_is_cut_at_a_space_within_the_limit() -> None:
    text = "word " * 1000
    lengths = [end - start for start, end in sentences.spans(text)]
    assert max(lengths) <= sentences.LIMIT
    assert len(lengths) > 5


def test_endless_text_is_released_while_it_streams() -> None:
    assert sentences.spans("word " * 1000, final=False) == sentences.spans("word " * 1000)[:-1]
