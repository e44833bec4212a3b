"""Agreement between raters."""

from __future__ import annotations

import pytest

from guardrail.finetune.data.agreement import Rating, agreement


def _ratings(*rows: str) -> list[Rating]:
    """One row a rater: `a`, `b` for the reply that was chosen, `.` where the rater did not judge."""
    return [
        Rating(unit=unit, rater=str(rater), value={"a": 1.0, "b": -1.0}[mark]) for rater, row in enumerate(rows) for unit, mark in enumerate(row) if mark != "."
    ]


def test_raters_who_always_agree_have_alpha_one() -> None:
    found = agreement(_ratings("abab", "abab"))
    assert found is not None
    assert found.choice == pytest.approx(1.0)


def test_the_nominal_alpha_is_that_of_the_published_example() -> None:
    """Krippendorff 2011, part A: two observers, ten binary units, alpha 0.095."""
    found = agreement(_ratings("abaaaaaaba", "bbbaabaaaa"))
    assert found is not None
    assert found.choice == pytest.approx(0.095, abs=0.001)


def test_the_interval_alpha_counts_how_far_apart_two_raters_are() -> None:
    found = agreement([Rating(unit=unit, rater=rater, value=size * (-1) ** unit) for unit in range(6) for rater, size in (("x", 4.0), ("y", 3.0))])
    assert found is not None
    assert found.choice == pytest.approx(1.0)
    assert 0.9 < found.strength < 1.0


def test_units_that_one_rater_alone_judged_do_not_count() -> None:
    found = agreement(_ratings("abab.", "ababb"))
    assert found is not None
    assert found.units == 4


@pytest.mark.parametrize("rows", [("aaaa", "aaaa"), ("a...", ".b.."), ("abab",), ()])
def test_agreement_is_none_where_it_is_undefined(rows: tuple[str, ...]) -> None:
    assert agreement(_ratings(*rows)) is None
