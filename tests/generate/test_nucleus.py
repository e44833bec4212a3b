"""Choosing a token, against the definition."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.generate.nucleus import Nucleus
from guardrail.types import Sampling


def by_definition(logits: list[float], temperature: float, top_p: float) -> dict[int, float]:
    """The nucleus and what each of its tokens weighs, by sorting all."""
    chances = np.exp((np.array(logits, np.float32) - np.float32(max(logits))).astype(np.float64) / temperature)
    chances /= chances.sum()
    kept: dict[int, float] = {}
    for token in sorted(range(len(logits)), key=lambda token: (-chances[token], token)):
        if sum(kept.values()) >= top_p:
            break
        kept[token] = float(chances[token])
    return kept


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.floats(0.1, 2), st.sampled_from([0.0, 0.3, 0.9, 0.999, 1.0]), st.integers(0, 1000))
def test_only_tokens_of_the_nucleus_are_drawn_whatever_the_vocabulary(size: int, temperature: float, top_p: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(scale=3, size=size).astype(np.float32)
    kept = by_definition(logits.tolist(), temperature, top_p + 1e-9)
    nucleus = Nucleus.of(Sampling(temperature=temperature, top_p=top_p, seed=seed))
    assert {nucleus.choose(logits) for _ in range(20)} <= set(kept)


def test_tokens_are_drawn_as_often_as_they_weigh() -> None:
    logits = [2.0, -1.0, 1.5, 0.0, 1.0] + [-9.0] * 200
    kept = by_definition(logits, 0.8, 0.95)
    nucleus = Nucleus.of(Sampling(temperature=0.8, top_p=0.95, seed=1))
    drawn = [nucleus.choose(np.array(logits, np.float32)) for _ in range(4000)]
    assert set(drawn) == set(kept)
    for token, chance in kept.items():
        share = chance / sum(kept.values())
        assert abs(drawn.count(token) / 4000 - share) < 5 * (share * (1 - share) / 4000) ** 0.5


def test_greedy_takes_the_first_of_the_likeliest_and_never_draws() -> None:
    class Silent(random.Random):
        def random(self) -> float:
            raise AssertionError

    assert Nucleus(temperature=0.0, top_p=0.5, draw=Silent()).choose(np.array([1, 3, 2, 3], np.float32)) == 1


def test_a_banned_token_is_never_drawn() -> None:
    logits = np.zeros(100, np.float32)
    logits[::2] = -np.inf
    nucleus = Nucleus.of(Sampling(temperature=2.0, top_p=1.0, seed=3))
    assert all(nucleus.choose(logits) % 2 for _ in range(300))
