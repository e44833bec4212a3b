from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.errors import InvalidRequest
from guardrail.finetune.rails.calibration import LEAST, Target, Unreachable, calibrate, rates


def rows(good: int, bad: int, *, apart: float = 0.5, seed: int = 1) -> tuple[list[float], list[bool]]:
    """Scores of good rows around .25 and of bad ones `apart` above."""
    random = np.random.default_rng(seed)
    scores = np.concatenate([random.normal(0.25, 0.1, good), random.normal(0.25 + apart, 0.1, bad)]).clip(0, 1)
    return scores.tolist(), [False] * good + [True] * bad


def test_two_clear_heaps_are_parted_between_them_with_no_error() -> None:
    scores, bad = [0.1] * 150 + [0.9] * 150, [False] * 150 + [True] * 150
    found = calibrate(scores, bad, resamples=50)
    assert found.threshold.value == pytest.approx(0.5)
    assert (found.precision and found.precision.value, found.recall.value, found.fpr.value) == (1.0, 1.0, 0.0)


def test_a_rate_of_false_alarms_that_was_asked_for_is_kept_about_on_rows_not_fitted_on() -> None:
    found = calibrate(*rows(600, 600, apart=0.2), target=Target(measure="fpr", value=0.05), resamples=100)
    assert 0.01 <= found.fpr.value <= 0.1
    assert found.fpr.low <= found.fpr.value <= found.fpr.high


@pytest.mark.parametrize("measure", ["precision", "recall"])
def test_a_higher_target_moves_the_threshold_its_way(measure: str) -> None:
    low = calibrate(*rows(400, 400, apart=0.2), target=Target(measure=measure, value=0.7), resamples=10)  # type: ignore[arg-type]  # parametrized
    high = calibrate(*rows(400, 400, apart=0.2), target=Target(measure=measure, value=0.95), resamples=10)  # type: ignore[arg-type]  # parametrized
    assert (high.threshold.value > low.threshold.value) == (measure == "precision")


def test_few_rows_take_turns_and_many_are_halved() -> None:
    assert calibrate(*rows(40, 40), resamples=10).crossfitted
    assert not calibrate(*rows(300, 300), resamples=10).crossfitted


def test_more_rows_make_the_intervals_narrower() -> None:
    few, many = (calibrate(*rows(count, count, apart=0.15), resamples=200) for count in (60, 3000))
    assert many.recall.high - many.recall.low < few.recall.high - few.recall.low
    assert many.threshold.high - many.threshold.low < few.threshold.high - few.threshold.low


def test_scores_that_say_nothing_give_rates_of_chance_and_not_those_of_the_rows_fitted_on() -> None:
    random = np.random.default_rng(3)
    found = calibrate(random.random(1000).tolist(), [False, True] * 500, resamples=100)
    assert abs(found.recall.value - found.fpr.value) < 0.15


def test_rows_of_one_group_stay_on_one_side() -> None:
    # Every group has scores of its own, so a threshold learned from a row of the group would know its sisters.
    random = np.random.default_rng(5)
    scores, bad, groups = [], [], []
    for number in range(40):
        centre = random.random()
        for place in range(10):
            scores.append(float(np.clip(centre + 0.01 * place, 0, 1)))
            bad.append(number % 2 == 0)
            groups.append(str(number))
    apart = calibrate(scores, bad, groups=groups, resamples=200)
    mixed = calibrate(scores, bad, resamples=200)
    assert apart.threshold.high - apart.threshold.low > mixed.threshold.high - mixed.threshold.low


def test_where_all_bad_rows_are_of_one_group_the_groups_are_given_up() -> None:
    scores, bad = [0.1] * 30 + [0.9] * 30, [False] * 30 + [True] * 30
    found = calibrate(scores, bad, groups=[str(number) for number in range(30)] + ["same"] * 30, resamples=20)
    assert (found.recall.value, found.fpr.value) == (1.0, 0.0)


def test_the_same_rows_give_the_same_answer() -> None:
    assert calibrate(*rows(80, 80), resamples=50) == calibrate(*rows(80, 80), resamples=50)


@pytest.mark.parametrize(
    ("good", "bad", "sentence"), [(LEAST - 1, 50, "only 19 good"), (50, LEAST - 1, "only 19 bad"), (40, 0, "is bad"), (0, 40, "is good"), (0, 0, "only 0")]
)
def test_too_few_or_one_sided_rows_are_refused(good: int, bad: int, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        calibrate(*rows(good, bad))


def test_a_precision_that_no_threshold_reaches_is_told_with_the_best_there_is() -> None:
    scores, bad = [0.9] * 50 + [0.1] * 50, [False] * 50 + [True] * 50
    with pytest.raises(Unreachable, match=r"best is 0\.50"):
        calibrate(scores, bad, target=Target(measure="precision", value=0.9))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=60, max_size=120), st.sampled_from(["recall", "fpr"]), st.floats(0, 1))
def test_on_the_rows_it_was_fitted_on_a_threshold_keeps_to_its_target(given_rows: list[tuple[float, bool]], measure: str, value: float) -> None:
    scores, bad = [score for score, _ in given_rows], [label for _, label in given_rows]
    if min(sum(bad), len(bad) - sum(bad)) < LEAST:
        return
    found = calibrate(scores, bad, target=Target(measure=measure, value=value), resamples=2)  # type: ignore[arg-type]  # one of the two
    at = rates(np.array(scores) > found.threshold.value, np.array(bad))
    # The smallest score of all cannot raise an alarm where it is 0: a rail alarms strictly above its threshold.
    reachable = np.array(scores)[np.array(bad)] > 0
    assert at.fpr <= value if measure == "fpr" else at.recall >= min(value, float(reachable.mean()))
