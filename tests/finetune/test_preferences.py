"""Preferences: collected, split and counted."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.errors import ConfigurationError
from guardrail.finetune.data import rows
from guardrail.finetune.data.feedback import collected
from guardrail.finetune.data.grounded_pairs import falsified_pairs
from guardrail.finetune.data.raters import ratings, split
from guardrail.finetune.data.rows import Preference, Prompt, Question, Turn
from guardrail.finetune.rewards.sampled_pairs import sampled_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ASKED = [{"role": "user", "content": "What is justice?"}]


def _lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps({"id": str(number), "messages": ASKED} | line) + "\n" for number, line in enumerate(lines)))
    return path


def test_a_choice_becomes_a_preference_with_its_strength_and_rater(tmp_path: Path) -> None:
    (found,) = collected(
        _lines(tmp_path / "f.jsonl", {"kind": "choice", "replies": ["a", "b"], "chosen": 1, "strength": 3, "rater": "anna", "time": "now"})
    ).preferences
    assert (found.chosen, found.rejected, found.strength, found.rater) == ("b", "a", 3, "anna")


def test_a_rewrite_is_preferred_to_what_it_replaces(tmp_path: Path) -> None:
    (found,) = collected(_lines(tmp_path / "f.jsonl", {"kind": "rewrite", "reply": "a", "rewrite": "b"})).preferences
    assert (found.chosen, found.rejected) == ("b", "a")


def test_thumbs_up_and_down_on_one_conversation_make_a_pair(tmp_path: Path) -> None:
    found = collected(_lines(tmp_path / "f.jsonl", {"kind": "thumb", "reply": "a", "thumb": "down"}, {"kind": "thumb", "reply": "b", "thumb": "up"}))
    assert [(row.chosen, row.rejected) for row in found.preferences] == [("b", "a")]
    assert found.one_sided == 0


def test_a_thumb_alone_is_counted_as_one_sided(tmp_path: Path) -> None:
    found = collected(_lines(tmp_path / "f.jsonl", {"kind": "thumb", "reply": "a", "thumb": "up"}))
    assert (found.preferences, found.one_sided) == ((), 1)


def test_thumbs_of_two_raters_make_no_pair(tmp_path: Path) -> None:
    up, down = {"kind": "thumb", "reply": "a", "thumb": "up", "rater": "x"}, {"kind": "thumb", "reply": "b", "thumb": "down", "rater": "y"}
    assert collected(_lines(tmp_path / "f.jsonl", up, down)).one_sided == 2


def test_a_line_that_is_no_feedback_is_named(tmp_path: Path) -> None:
    path = _lines(tmp_path / "f.jsonl", {"kind": "thumb", "reply": "a", "thumb": "up"}, {"kind": "shrug"})
    with pytest.raises(ConfigurationError, match=r"f\.jsonl:2: "):
        collected(path)


CHOICES = st.lists(
    st.builds(
        lambda prompt, rater, turned: Preference(prompt=f"p{prompt}", chosen="b" if turned else "a", rejected="a" if turned else "b", rater=f"r{rater}"),
        st.integers(0, 8),
        st.integers(0, 4),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=100)
@given(CHOICES, st.floats(0.05, 0.5), st.integers(0, 3))
def test_no_prompt_stands_on_both_sides_of_a_split(choices: list[Preference], heldout: float, seed: int) -> None:
    parts = split(choices, heldout=heldout, seed=seed)
    assert {row.prompt for row in parts.train}.isdisjoint(row.prompt for row in parts.heldout)


@settings(max_examples=100)
@given(CHOICES, st.floats(0.05, 0.5), st.integers(0, 3))
def test_no_rater_stands_on_both_sides_where_there_are_several(choices: list[Preference], heldout: float, seed: int) -> None:
    parts = split(choices, heldout=heldout, seed=seed)
    assert parts.by == "prompt" or {row.rater for row in parts.train}.isdisjoint(row.rater for row in parts.heldout)


@settings(max_examples=100)
@given(CHOICES, st.integers(0, 3))
def test_every_choice_is_in_exactly_one_part(choices: list[Preference], seed: int) -> None:
    parts = split(choices, heldout=0.3, seed=seed)
    assert len(parts.train) + len(parts.heldout) + len(parts.crossing) == len(choices)


def test_with_one_rater_prompts_are_kept_out() -> None:
    parts = split([Preference(prompt=f"p{number}", chosen="a", rejected="b", rater="x") for number in range(20)], heldout=0.25, seed=1)
    assert (parts.by, len(parts.heldout)) == ("prompt", 5)


def test_opposite_choices_on_a_pair_are_ratings_of_one_unit_with_opposite_signs() -> None:
    one, other = ratings(
        [Preference(prompt="p", chosen="a", rejected="b", strength=3, rater="x"), Preference(prompt="p", chosen="b", rejected="a", strength=1)]
    )
    assert one.unit == other.unit
    assert (one.value, other.value) == (3.0, -1.0)


def test_a_falsified_pair_asks_with_the_passages_as_the_server_does() -> None:
    question = Question(messages=(Turn(role="user", content="How many parts?"),), passages=("The soul has 3 parts.",), answer="It has 3 parts.", id="q")
    (pair,) = falsified_pairs([question], random.Random(0))
    assert not isinstance(pair.prompt, str)
    assert [turn.role for turn in pair.prompt] == ["system", "user"]
    assert "The soul has 3 parts." in pair.prompt[-1].content
    assert (pair.chosen, pair.rejected != pair.chosen) == ("It has 3 parts.", True)


def test_written_preferences_are_read_back_as_they_were(tmp_path: Path) -> None:
    made = [Preference(prompt=(Turn(role="user", content="x"),), chosen="a", rejected="b", strength=2, rater="r", id="1")]
    rows.write(tmp_path / "p.jsonl", made)
    assert list(rows.read(tmp_path / "p.jsonl", Preference)) == made
    assert msgspec.json.decode((tmp_path / "p.jsonl").read_bytes())["strength"] == 2


class _Support:
    """Replies are supported as far as they say."""

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> NDArray[np.float64]:
        return np.array([float(reply) for reply in replies])


def test_the_best_and_the_worst_supported_of_a_models_answers_make_a_pair() -> None:
    question = Question(messages=(Turn(role="user", content="How many?"),), passages=("Three.",), answer="Three.", id="q")
    found = sampled_pairs([question, question], [["0.2", "0.9", "0.5"], ["0.5", "0.6"]], _Support(), margin=0.3)
    assert [(pair.chosen, pair.rejected, pair.strength) for pair in found.pairs] == [("0.9", "0.2", 3)]
    assert found.undecided == 1
