"""BM25: what counts as a word, what a score is, and that a saved index is the same index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.index.sparse import SparseIndex, words

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = (
    "The soul has three parts: reason, spirit and appetite.",
    "Virtue is a mean between two vices, the doubly virtuous said.",
    "Ψυχή is the Greek word for soul.",
    "A café in Athens; nothing was ever not served there.",
    "",
)


@pytest.fixture(scope="module")
def sparse() -> SparseIndex:
    return SparseIndex.build(TEXTS)


def test_words_are_stems_without_case_accents_and_function_words() -> None:
    assert words("The Virtues of the CAFÉS") == ["virtu", "cafe"]


def test_negations_and_quantifiers_are_words() -> None:
    assert words("not all, never only") == ["not", "all", "never", "onli"]


def test_accents_and_case_do_not_keep_a_word_from_being_found(sparse: SparseIndex) -> None:
    assert sparse.top(sparse.scores("ψυχη"), 5).tolist() == [2]
    assert sparse.top(sparse.scores("𝐂AFE"), 5).tolist() == [3]


def test_scores_are_those_of_bm25s(sparse: SparseIndex) -> None:
    reference = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    reference.index([words(text) for text in TEXTS], show_progress=False)
    query = "virtue of the soul, and of the soul's reason"
    np.testing.assert_allclose(sparse.scores(query), reference.get_scores(words(query)), rtol=1e-6)


def test_rows_that_are_filtered_out_take_no_place(sparse: SparseIndex) -> None:
    assert sparse.top(sparse.scores("soul"), 1, np.array([2, 3])).tolist() == [2]
    assert sparse.top(sparse.scores("soul"), 1, np.array([3, 4])).tolist() == []


def test_unknown_words_lower_the_coverage(sparse: SparseIndex) -> None:
    rows = np.arange(len(TEXTS))
    assert sparse.coverage("the soul", rows).tolist() == [1, 0, 1, 0, 0]
    assert 0 < sparse.coverage("soul of the xylophone", rows)[0] < 0.5
    assert sparse.coverage("of the", rows).tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("texts", [TEXTS, (), ("", "the of")])
@pytest.mark.parametrize("mmap", [True, False])
def test_a_saved_index_answers_the_same(tmp_path: Path, texts: tuple[str, ...], mmap: bool) -> None:
    built = SparseIndex.build(texts)
    built.save(tmp_path)
    loaded = SparseIndex.load(tmp_path, mmap=mmap)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}
    assert loaded.size == len(texts)
    np.testing.assert_array_equal(loaded.scores("soul virtue"), built.scores("soul virtue"))
    np.testing.assert_array_equal(loaded.coverage("soul virtue", np.arange(len(texts))), built.coverage("soul virtue", np.arange(len(texts))))


@given(st.lists(st.lists(st.sampled_from(["plato", "form", "cave", "sun", "line"]), max_size=6).map(" ".join), min_size=1, max_size=8))
def test_coverage_of_one_word_says_which_rows_hold_it(texts: list[str]) -> None:
    covered = SparseIndex.build(texts).coverage("cave", np.arange(len(texts)))
    assert [bool(share) for share in covered] == ["cave" in text for text in texts]
