"""The FAISS index against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from guardrail.index.dense import DenseIndex, Rows


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float16]:
    drawn = np.random.default_rng(0).standard_normal((500, 32))
    unit: NDArray[np.float16] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)
    return unit


def test_exact_search_is_numpys_order(vectors: NDArray[np.float16]) -> None:
    question = vectors[7].astype(np.float32)
    expected = np.argsort(-(vectors.astype(np.float32) @ question))[:10]
    assert DenseIndex(vectors).top(question, 10).tolist() == expected.tolist()


def test_eight_bit_search_finds_nearly_the_same(vectors: NDArray[np.float16]) -> None:
    exact, rough = DenseIndex(vectors, exact=True), DenseIndex(vectors, exact=False)
    questions = vectors[:50].astype(np.float32)
    shared = [len(set(exact.top(question, 10).tolist()) & set(rough.top(question, 10).tolist())) for question in questions]
    assert np.mean(shared) > 9.5


@pytest.mark.parametrize("exact", [True, False])
def test_a_filter_does_not_starve_the_result(vectors: NDArray[np.float16], exact: bool) -> None:
    question = vectors[0].astype(np.float32)
    nearest_last = np.argsort(vectors.astype(np.float32) @ question)
    rows = Rows(np.sort(nearest_last[:20]), len(vectors))  # the twenty that are farthest away
    found = DenseIndex(vectors, exact=exact).top(question, 10, rows)
    assert len(found) == 10
    assert set(found.tolist()) <= set(rows.numbers.tolist())
    assert found[0] == nearest_last[19]


def test_there_may_be_fewer_rows_than_asked_for(vectors: NDArray[np.float16]) -> None:
    question = vectors[0].astype(np.float32)
    assert len(DenseIndex(vectors[:3]).top(question, 10)) == 3
    assert len(DenseIndex(vectors).top(question, 10, Rows(np.array([4, 9]), len(vectors)))) == 2
    assert len(DenseIndex(vectors).top(question, 10, Rows(np.zeros(0, np.int64), len(vectors)))) == 0
    assert len(DenseIndex(vectors[:0]).top(question, 10)) == 0


def test_cosines_are_exact_also_over_eight_bit_search(vectors: NDArray[np.float16]) -> None:
    rows = np.array([3, 1, 2])
    question = vectors[5].astype(np.float32)
    np.testing.assert_array_equal(DenseIndex(vectors, exact=False).cosines(question, rows), vectors[rows].astype(np.float32) @ question)
