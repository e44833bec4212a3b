from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.finetune.settings import AlarmSettings
from guardrail.finetune.training.alarm import Alarm, Observation

PLAIN = AlarmSettings(window=1, patience=2, gold_drop=0.05)


def watch(rows: list[Observation], settings: AlarmSettings = PLAIN) -> Alarm:
    alarm = Alarm()
    for row in rows:
        alarm = alarm.after(row, settings)
        if alarm.reason:
            break
    return alarm


def course(proxies: list[float], golds: list[float]) -> list[Observation]:
    return [Observation(update=n, proxy=p, gold=g) for n, (p, g) in enumerate(zip(proxies, golds, strict=True), 1)]


def test_gold_that_falls_while_the_proxy_climbs_raises_it_and_names_the_best_update() -> None:
    alarm = watch(course([0.1, 0.3, 0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.8, 0.7, 0.6, 0.5]))
    assert alarm.reason is not None
    assert "cheated" in alarm.reason
    assert alarm.best_update == 3
    assert alarm.recent[-1].update == 5  # the second strike


def test_a_proxy_at_its_maximum_counts_as_high() -> None:
    assert watch(course([0.1, 0.5, 1.0, 1.0, 1.0], [0.5, 0.6, 0.8, 0.6, 0.5])).reason is not None


def test_gold_that_falls_together_with_the_proxy_does_not() -> None:
    assert watch(course([0.1, 0.5, 1.0, 0.6, 0.5, 0.4], [0.5, 0.6, 0.8, 0.6, 0.5, 0.4])).reason is None


def test_one_bad_update_does_not() -> None:
    assert watch(course([0.1, 0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.4, 0.6, 0.6])).reason is None


def test_the_mean_over_a_window_takes_noise_out() -> None:
    noisy = course([0.1 * n for n in range(1, 21)], [0.5 + 0.01 * n + (0.1 if n % 2 else -0.1) for n in range(20)])
    assert watch(noisy, AlarmSettings(window=1, patience=1)).reason is not None
    assert watch(noisy, AlarmSettings(window=4, patience=1)).reason is None


@pytest.mark.parametrize(
    ("change", "said"),
    [({"kl": 9.0}, "nats"), ({"length": 40.0}, "tokens on average"), ({"length": 3.0}, "tokens on average"), ({"repetition": 0.8}, "stood in it before")],
)
def test_each_drift_raises_it(change: dict[str, float], said: str) -> None:
    settings = AlarmSettings(window=1, kl_cap=8.0, length_ratio=3.0, repetition=0.5)
    start = {"proxy": 0.5, "length": 10.0}
    alarm = watch([Observation(update=1, **start), Observation(update=2, **start), Observation(update=3, **(start | change))], settings)
    assert alarm.reason is not None
    assert said in alarm.reason
    assert alarm.best_update == 2


def test_a_model_that_repeated_from_the_start_is_not_blamed_for_it() -> None:
    rows = [Observation(update=n, proxy=0.1, repetition=0.7) for n in range(1, 5)]
    assert watch(rows, AlarmSettings(window=1, repetition=0.5)).reason is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.integers(1, 5))
def test_it_goes_on_from_a_saved_state_as_if_never_saved(rows: list[tuple[float, float]], window: int) -> None:
    settings = AlarmSettings(window=window)
    kept = saved = Alarm()
    for update, (proxy, gold) in enumerate(rows, 1):
        seen = Observation(update=update, proxy=proxy, gold=gold)
        kept = kept.after(seen, settings)
        saved = msgspec.json.decode(msgspec.json.encode(saved), type=Alarm).after(seen, settings)
    assert saved == kept


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_gold_that_never_falls_by_the_drop_never_raises_it(golds: list[float]) -> None:
    rising = sorted(golds)
    assert watch(course([0.1 * n for n in range(len(rising))], rising)).reason is None
