"""Sentences that were said before are taken out of a draft, however it arrives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.repetition import RUN, WHOLE, Shown, Unsaid
from guardrail.sentences import spans

SAID = ("The soul is the form of a living body, and most of its powers perish with it. [1] Virtue is knowledge.", "Habit makes us good.")
DRAFT = (
    "Virtue, is KNOWLEDGE! [2] Nobody errs willingly. I say that the form of a living body, and most of its powers, is lost. Habit makes us good. Or does it?"
)


def run(said: tuple[str, ...], pieces: list[str]) -> str:
    unsaid = Unsaid(said)
    return "".join(unsaid.push(piece, final=number == len(pieces) - 1) for number, piece in enumerate(pieces))


def test_a_sentence_said_before_is_taken_out_whatever_its_case_and_punctuation() -> None:
    assert "KNOWLEDGE" not in run(SAID, [DRAFT])


def test_eight_words_in_a_row_make_a_repetition_and_seven_do_not() -> None:
    words = [f"word{number}" for number in range(12)]
    said = (" ".join(words) + ".",)
    assert run(said, [f"Now {' '.join(words[:RUN])} again."]) == ""
    assert run(said, [f"Now {' '.join(words[: RUN - 1])} again."]) != ""


def test_what_is_new_passes_as_it_was_written() -> None:
    assert run(SAID, [DRAFT]) == "Nobody errs willingly. Or does it?"


@given(st.lists(st.integers(0, len(DRAFT)), max_size=8), st.text(max_size=30))
def test_the_cut_does_not_depend_on_how_the_draft_was_split(cuts: list[int], more: str) -> None:
    draft = DRAFT + more
    edges = [0, *sorted(cuts), len(draft)]
    assert run(SAID, [draft[start:end] for start, end in pairwise(edges)]) == run(SAID, [draft])


SENTENCES = ("Virtue is knowledge.", "Nobody errs willingly.", "Habit makes us good.", "The soul has three parts.", "Is it so?")


@given(st.lists(st.sampled_from(SENTENCES), max_size=6), st.lists(st.sampled_from(SENTENCES), max_size=4))
def test_what_is_let_through_is_what_was_not_said_in_its_order(draft: list[str], said: list[str]) -> None:
    kept = run((" ".join(said),), [" ".join(draft)])
    assert [kept[start:end] for start, end in spans(kept)] == [sentence for sentence in draft if sentence not in said]


@pytest.mark.parametrize("piece", ["Virtue is", " know", ""])
def test_where_nothing_was_said_nothing_is_held_back(piece: str) -> None:
    assert Unsaid(()).push(piece) == piece


@pytest.mark.parametrize(
    ("sentence", "held"),
    [
        ("One of the prisoners is freed.", True),
        ("“one OF the prisoners”, is freed [2]", True),
        ("one of the prisoners is", True),
        ("of the prisoners is", False),
        ("One of the prisoners is free.", False),
        ("ne of the prisoners is freed", False),
        ("is freed they see shadows", False),
        ("", False),
        ("Alexander learned ethics and politics and gained a love of medicine from my teacher.", True),
        ("Alexander learned ethics and politics and gained a love of medicine from two teachers.", False),
    ],
)
def test_a_sentence_is_held_where_its_words_stand_in_a_row_in_one_that_was_shown(sentence: str, held: bool) -> None:
    shown = Shown()
    shown.add("One of the prisoners is freed. [1]")
    shown.add("They see shadows.")
    shown.add("Alexander learned ethics and politics and gained a love of medicine from his teacher.")
    assert shown.hold(sentence) is held


@given(st.lists(st.from_regex(r"[b-z]{7,8}", fullmatch=True), min_size=WHOLE, max_size=12))
def test_what_was_shown_is_held(words: list[str]) -> None:
    shown = Shown()
    shown.add(" ".join(words))
    assert shown.hold(" ".join(words).title())
