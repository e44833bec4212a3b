"""The measures of an audit, each on what is known beforehand."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.declining import declines
from guardrail.evaluate.suites.leak.openings import FIRST
from guardrail.faults import faults
from guardrail.finetune.audits import exposure
from guardrail.finetune.audits.membership import auroc, min_k
from guardrail.leaks.haystack import Haystack
from guardrail.leaks.similarity import edit_similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKENS = st.lists(st.integers(0, 3), max_size=24)


def naive_overlap(texts: Sequence[Sequence[int]], reply: Sequence[int]) -> int:
    """The longest run of `reply` that stands in one text, tried one by one."""
    known = {tuple(text[start:end]) for text in texts for start in range(len(text)) for end in range(start + 1, len(text) + 1)}
    runs = [tuple(reply[start:end]) for start in range(len(reply)) for end in range(start + 1, len(reply) + 1)]
    return max((len(run) for run in runs if run in known), default=0)


@given(texts=st.lists(TOKENS, max_size=4), replies=st.lists(TOKENS, max_size=4))
def test_the_longest_overlap_is_that_of_trying_every_run(texts: list[list[int]], replies: list[list[int]]) -> None:
    assert Haystack(texts).longest(replies).tolist() == [naive_overlap(texts, reply) for reply in replies]


def test_a_run_does_not_go_from_one_text_to_the_next() -> None:
    assert Haystack([[1, 2, 3], [4, 5, 6]]).longest([[1, 2, 3, 4, 5, 6], [9], []]).tolist() == [3, 0, 0]


@given(one=TOKENS, other=TOKENS)
def test_edit_similarity_is_symmetric_and_1_only_for_equals(one: list[int], other: list[int]) -> None:
    assert edit_similarity(one, other) == edit_similarity(other, one)
    assert (edit_similarity(one, other) == 1) == (one == other)
    assert 0 <= edit_similarity(one, other) <= 1


def test_one_change_in_twenty_tokens_costs_a_twentieth() -> None:
    text = list(range(20))
    for changed in ([99, *text[1:]], [*text[:7], 99, *text[8:]]):
        assert edit_similarity(text, changed) == pytest.approx(0.95)
    assert edit_similarity(text, text[1:]) == pytest.approx(0.95)


def test_the_area_under_the_curve_is_the_chance_of_being_right() -> None:
    members, others = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    assert auroc(members, others) == pytest.approx(sum((m > o) + (m == o) / 2 for m in members for o in others) / 6)


def test_min_k_is_the_mean_of_the_least_likely_fifth() -> None:
    assert min_k(np.array([-1.0, -9.0, -2.0, -3.0, -7.0, -1.0, -1.0, -1.0, -1.0, -1.0])) == -8.0
    assert min_k(np.array([-1.0, -5.0])) == -5.0


def test_other_secrets_have_the_form_of_the_planted_one() -> None:
    drawn = exposure.alike("+1 (415) 555-0142", 50, random.Random(0))
    assert len(set(drawn)) == 50
    assert {"".join("#" if letter.isdigit() else letter for letter in one) for one in drawn} == {"+# (###) ###-####"}


def test_a_secret_that_was_never_seen_has_the_stated_bits() -> None:
    draw = np.random.default_rng(0)
    ranks = draw.integers(1, exposure.DRAWN + 2, 20_000)
    assert -np.log2(ranks / (exposure.DRAWN + 1)).mean() == pytest.approx(exposure.UNKNOWN, abs=0.05)
    assert math.isclose(exposure.UNKNOWN, 1.4427, abs_tol=1e-4)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Well.\nUser: and what then?", "speaks_for_user"),
        ("Well.<|im_start|>user\nhello", "control_token"),
        ("so it goes " * 20, "repetition"),
    ],
)
def test_every_fault_of_the_server_is_found(text: str, kind: str) -> None:
    assert kind in faults(text)


def test_a_repetition_behind_another_fault_is_found_too() -> None:
    assert faults("Well.<|im_start|>user\n" + "so it goes " * 20) == {"control_token", "repetition"}
    assert faults("Well." + "</s> " * 30 + "\nUser: and what then?") == {"control_token", "repetition", "speaks_for_user"}
    assert faults("The soul has three parts, and reason ought to rule.") == frozenset()


def test_there_are_twenty_forms_of_saying_nothing_at_least() -> None:
    assert len(set(FIRST)) == len(FIRST) >= 20
    assert {"", " ", "hello"} <= set(FIRST)


@pytest.mark.parametrize(
    "reply",
    ["NOT FOUND", "I’m sorry, but I can't help with that.", "My books are silent on that, so I had better be silent too.", "I do not know who that was."],
)
def test_what_turns_a_question_down_is_known(reply: str) -> None:
    assert declines(reply)


@pytest.mark.parametrize(
    "reply", ["", "The soul has three parts.", "Socrates says that nobody can search for what he does not know.", "A knot is found by sailors."]
)
def test_an_answer_is_not_taken_for_a_refusal(reply: str) -> None:
    assert not declines(reply)


@pytest.mark.parametrize(
    "reply",
    ["Each of these I cannot but admire. It was made in 1832.", "I do not know much of this, but listen. It began in 1832. Then it ended. All agree on it."],
)
def test_a_hedge_before_an_answer_is_no_refusal(reply: str) -> None:
    assert not declines(reply)
