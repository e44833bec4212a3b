"""Mixtures, packing, splits and curation."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from guardrail.errors import ConfigurationError
from guardrail.finetune.data import curation, mixture, splits
from guardrail.finetune.data.encoding import Encoded
from guardrail.finetune.data.goldfish import IGNORED
from guardrail.finetune.data.packing import Filled, Packed
from guardrail.finetune.data.rows import Dialogue, Turn


@given(sizes=st.lists(st.integers(2, 8), min_size=1, max_size=3), seed=st.integers(0, 5), data=st.data())
def test_every_row_comes_as_often_as_its_weight_says(sizes: list[int], seed: int, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.sampled_from([0.5, 1.0, 2.0, 2.5]), min_size=len(sizes), max_size=len(sizes)))
    count = mixture.rows_an_epoch(sizes, weights)
    seen = Counter(mixture.order(sizes, weights, count=count, seed=seed).tolist())
    start = 0
    for size, weight in zip(sizes, weights, strict=True):
        times = [seen[number] for number in range(start, start + size)]
        assert set(times) <= {int(weight), int(weight) + 1}
        assert sum(times) == round(size * weight)
        start += size


def test_the_order_is_that_of_its_seed_and_goes_on_over_epochs() -> None:
    first = mixture.order([10, 5], [1, 2], count=50, seed=3)
    assert (first == mixture.order([10, 5], [1, 2], count=50, seed=3)).all()
    assert (first[:20] == mixture.order([10, 5], [1, 2], count=20, seed=3)).all()
    assert (first != mixture.order([10, 5], [1, 2], count=50, seed=4)).any()


@given(texts=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), min_size=1, max_size=6), length=st.integers(1, 9))
def test_packed_rows_laid_end_to_end_are_the_texts(texts: list[list[int]], length: int) -> None:
    order = np.arange(len(texts))[::-1]
    whole = [token for number in order for token in texts[number]]
    packed = Packed([np.array(text, np.int32) for text in texts], order, length=length, count=len(whole) // length)
    assert [token for number in range(len(packed)) for token in packed[number]["input_ids"].tolist()] == whole[: len(packed) * length]


_PAD = 0
_LENGTH = 12


def _dialogues(sizes: list[int]) -> list[Encoded]:
    """Of these sizes; no two tokens are the same, and every third one is learned."""
    found, next_ = [], 1
    for size in sizes:
        ids = np.arange(next_, next_ + size, dtype=np.int32)
        found.append(Encoded(id="", ids=ids, labels=np.where(ids % 3 == 0, ids, IGNORED).astype(np.int32)))
        next_ += size
    return found


def _texts(sizes: list[int]) -> list[NDArray[np.int32]]:
    """As above, from 1000 on."""
    ends = np.cumsum([1000, *sizes])
    return [np.arange(start, end, dtype=np.int32) for start, end in pairwise(ends)]


_SIZES = st.lists(st.integers(2, _LENGTH), min_size=1, max_size=8)
_TEXT_SIZES = st.lists(st.integers(2, 30), max_size=3)


@given(sizes=_SIZES, texts=_TEXT_SIZES)
def test_every_dialogue_stands_whole_and_in_order_exactly_once(sizes: list[int], texts: list[int]) -> None:
    dialogues = _dialogues(sizes)
    filled = Filled(iter(dialogues), _texts(texts), length=_LENGTH, pad=_PAD)
    found = [filled[number]["input_ids"].tolist() for number in range(len(filled))]
    spoken = [[token for token in row if 0 < token < 1000] for row in found]
    assert all(row[: len(said)] == said for row, said in zip(found, spoken, strict=True))
    assert [token for row in spoken for token in row] == [token for dialogue in dialogues for token in dialogue.ids.tolist()]
    starts = {int(dialogue.ids[0]) for dialogue in dialogues}
    assert all(row[0] in starts for row in spoken)


@given(sizes=_SIZES, texts=_TEXT_SIZES)
def test_filled_rows_have_the_length_and_no_room_for_the_next_dialogue(sizes: list[int], texts: list[int]) -> None:
    filled = Filled(_dialogues(sizes), _texts(texts), length=_LENGTH, pad=_PAD)
    rows = [filled[number] for number in range(len(filled))]
    assert all(row["input_ids"].shape == row["labels"].shape == (_LENGTH,) for row in rows)
    first, spoken = (
        {sum(sizes[:number]) + 1: size for number, size in enumerate(sizes)},
        [[t for t in row["input_ids"].tolist() if 0 < t < 1000] for row in rows],
    )
    assert all(len(row) + first[later[0]] > _LENGTH for row, later in pairwise(spoken))


@given(sizes=_SIZES, texts=_TEXT_SIZES)
def test_padding_and_what_a_piece_begins_with_are_not_learned(sizes: list[int], texts: list[int]) -> None:
    dialogues = _dialogues(sizes)
    begins = {int(dialogue.ids[0]) for dialogue in dialogues}
    labels = {int(token): int(label) for dialogue in dialogues for token, label in zip(dialogue.ids, dialogue.labels, strict=True)}
    text_begins = {int(text[0]) for text in _texts(texts)}
    filled = Filled(dialogues, _texts(texts), length=_LENGTH, pad=_PAD)
    for number in range(len(filled)):
        row, before = filled[number], 0
        for token, label in zip(row["input_ids"].tolist(), row["labels"].tolist(), strict=True):
            if token == _PAD or token in begins or token in text_begins or (token >= 1000 and before < 1000):
                assert label == IGNORED
            else:
                assert label == (labels[token] if token < 1000 else token)
            before = token


@given(sizes=_SIZES, texts=_TEXT_SIZES)
def test_texts_go_on_where_they_left_off_and_are_begun_anew(sizes: list[int], texts: list[int]) -> None:
    filled = Filled(_dialogues(sizes), _texts(texts), length=_LENGTH, pad=_PAD)
    rest = [token for number in range(len(filled)) for token in filled[number]["input_ids"].tolist() if not 0 < token < 1000]
    assert rest == ([1000 + place % sum(texts) for place in range(len(rest))] if texts else [_PAD] * len(rest))


_LONG = "the soul of a just man is ordered as the city is ordered and each part of it does its own work and no other"


def test_copies_and_near_copies_are_taken_out() -> None:
    texts = [_LONG, "something else altogether", _LONG.upper() + " ", _LONG + " at all", "short", "short"]
    found = splits.deduplicate(texts, how="near", similarity=0.8)
    assert (found.kept, found.exact, found.near) == ((0, 1, 4), 2, 1)
    assert splits.deduplicate(texts, how="exact", similarity=0.8).kept == (0, 1, 3, 4)
    assert splits.deduplicate(texts, how="none", similarity=0.8).kept == tuple(range(6))


def test_a_lower_similarity_finds_more() -> None:
    half = _LONG.replace("does its own work", "keeps to itself")
    assert not splits.deduplicate([_LONG, half], how="near", similarity=0.8).near
    assert splits.deduplicate([_LONG, half], how="near", similarity=0.4).near == 1


@given(seed=st.integers(0, 30), share=st.sampled_from([0.05, 0.2, 0.5]))
def test_near_duplicates_and_rows_of_one_key_are_on_one_side(seed: int, share: float) -> None:
    texts = [f"{_LONG} {'and more ' * (number % 2)}" for number in range(4)] + [f"text {number}" for number in range(16)]
    keys = [""] * 10 + ["file"] * 4 + [""] * 6
    group = splits.groups(texts, keys, similarity=0.8)
    heldout = splits.held_out(group, share=share, seed=seed, what="texts")
    for together in ({0, 1, 2, 3}, {10, 11, 12, 13}):
        assert not together & heldout or together <= heldout
    assert 1 <= len(heldout) <= 20 * share * 1.25 + 1


def test_a_split_with_an_empty_side_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be split"):
        splits.held_out(splits.groups([_LONG] * 5, [""] * 5, similarity=0.8), share=0.2, seed=0, what="texts")


def test_a_split_that_leaks_is_refused() -> None:
    splits.check_apart([_LONG], ["something else altogether"], place="data")
    for leaking in (_LONG.title(), _LONG + " at all"):
        with pytest.raises(ConfigurationError, match="data: 1 of 2 held-out rows stand in the training rows"):
            splits.check_apart([_LONG], ["something else", leaking], place="data")


def _said(reply: str, *passages: str) -> Dialogue:
    return Dialogue(messages=(Turn(role="user", content="Why?"), Turn(role="assistant", content=reply)), passages=passages)


def test_a_whole_grounded_answer_scores_above_scraps_loops_and_inventions() -> None:
    good = curation.quality(_said(_LONG.capitalize() + ".", _LONG))
    assert good > 0.95
    for worse in (
        _said("Yes"),
        _said(_LONG + " and", _LONG),
        _said("the soul is good. " * 8),
        _said(_LONG.capitalize() + ".", "Whales sleep standing upright."),
    ):
        assert curation.quality(worse) < good


def test_diversity_passes_over_what_is_like_the_best() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert curation.select([1.0, 0.9, 0.5], vectors, keep=2, diversity=0.0) == (0, 1)
    assert curation.select([1.0, 0.9, 0.5], vectors, keep=2, diversity=0.5) == (0, 2)
