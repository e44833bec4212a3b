from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.rails.antonyms import ANTONYMS, opposites
from guardrail.rails.kernel_regression import KernelRegression
from guardrail.rails.support import FEATURES, Source, measure
from guardrail.rails.words import stem

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrail.index.encoder import MiniLM

Figures = dict[str, float]
TEXT = (
    "Spirited people tend towards violence, while quiet people tend towards weakness. The body does not hinder the wise soul in its three inquiries at Athens."
)


@pytest.fixture(scope="module")
def figures(encoder: MiniLM) -> Callable[[str], Figures]:
    """The figures of a claim against TEXT, by name."""
    encoding = encoder.encode((TEXT,))[0]
    source = Source(text=TEXT, tokens=encoding.tokens, places=encoder.content_spans(TEXT))

    def compare(claim: str) -> Figures:
        return dict(zip(FEATURES, measure(encoder.encode((claim,))[0], [source]).figures.tolist(), strict=True))

    return compare


@pytest.mark.parametrize(
    ("name", "kept", "changed"),
    [
        ("bound", "Quiet people tend towards weakness.", "Quiet people tend towards violence."),
        ("order", "Violence tempts the spirited.", "Spirited people tend towards violence."),
        ("negation", "The body hinders the wise soul.", "The body does not hinder the wise soul."),
        ("opposites", "The body does not hinder the foolish soul.", "The body does not hinder the wise soul."),
        ("numbers", "The soul has three inquiries.", "The soul has five inquiries."),
        ("names", "The soul inquires at Athens.", "The soul inquires at Sparta."),
        ("coverage_window", "Quiet people tend towards weakness.", "Quiet people tend towards honesty."),
        ("late_window", "Quiet people tend towards weakness.", "The moon is made of cheese."),
    ],
)
def test_a_figure_is_higher_for_the_first_claim_than_for_the_second(figures: Callable[[str], Figures], name: str, kept: str, changed: str) -> None:
    assert figures(kept)[name] > figures(changed)[name]


def test_a_sentence_of_the_passage_has_every_share_in_full_and_nothing_against_it(figures: Callable[[str], Figures]) -> None:
    found = figures("Spirited people tend towards violence, while quiet people tend towards weakness.")
    assert all(found[name] == 1.0 for name in ("coverage_all", "coverage_passage", "coverage_window", "pairs_passage", "bound", "numbers", "names"))
    assert all(found[name] == 0.0 for name in ("rarest_missing", "order", "negation", "opposites"))


@pytest.mark.parametrize("claim", ["", "???", "and the of", "7"])
def test_a_claim_without_words_is_measured_too(figures: Callable[[str], Figures], claim: str) -> None:
    assert all(np.isfinite(value) for value in figures(claim).values())


def test_opposites_go_both_ways() -> None:
    assert all(word in ANTONYMS[other] for word, others in ANTONYMS.items() for other in others)
    assert stem("unjust") in opposites(stem("just"))
    assert opposites(stem("cheese")) == frozenset()


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 1000))
def test_a_packed_kernel_regression_says_the_same_and_keeps_to_probabilities(width: int, landmarks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    model = KernelRegression(
        mean=random.normal(size=width).astype(np.float32),
        scale=random.uniform(0.5, 2, width).astype(np.float32),
        landmarks=random.normal(size=(landmarks, width)).astype(np.float32),
        weights=random.normal(size=landmarks).astype(np.float32) * 100,
        bias=float(np.float32(random.normal())),
        gamma=float(np.float32(random.uniform(0.01, 1))),
    )
    rows = random.normal(size=(3, width)).astype(np.float32) * 1e6
    found = model.probabilities(rows)
    assert ((found >= 0) & (found <= 1)).all()
    assert (KernelRegression.unpack(model.pack()).probabilities(rows) == found).all()
