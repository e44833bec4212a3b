"""A model's reasoning never leaves, however its draft is split."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from guardrail.reasoning import ReasoningFilter

DRAFT = "Hello <think>the plan: 3 < 4</think> there<reasoning>hidden</reasoning>. Is 3 < 4? <b>Yes</b> <thin"


def shown(pieces: list[str]) -> str:
    visible = ReasoningFilter("reasoning")
    return "".join(visible.push(piece, final=number == len(pieces) - 1) for number, piece in enumerate(pieces))


def test_tagged_stretches_are_taken_out() -> None:
    assert shown([DRAFT]) == "Hello  there. Is 3 < 4? <b>Yes</b> <thin"


@given(st.lists(st.integers(0, len(DRAFT)), max_size=6).map(sorted))
def test_every_split_shows_the_same(cuts: list[int]) -> None:
    edges = [0, *cuts, len(DRAFT)]
    assert shown([DRAFT[a:b] for a, b in itertools.pairwise(edges)]) == shown([DRAFT])


def test_a_tag_that_never_closes_hides_the_rest() -> None:
    assert shown(["Yes. <think>and now", " for ever"]) == "Yes. "


def test_half_a_tag_waits_for_the_next_piece() -> None:
    visible = ReasoningFilter()
    assert visible.push("Yes <thi") == "Yes "
    assert visible.push("nk>secret") == ""
    assert visible.push("</think> done", final=True) == " done"
