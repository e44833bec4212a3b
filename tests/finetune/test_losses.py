"""The pure functions of PPO against loops over single numbers, and against what must hold of them."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.finetune.training import advantages as adv
from guardrail.finetune.training import losses

seeds = st.integers(0, 10_000)


def batch(seed: int, rows: int = 4, longest: int = 6) -> tuple[torch.Generator, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, longest + 1, (rows,), generator=generator)
    lengths[0] = longest
    return generator, torch.arange(longest)[None] < lengths[:, None]


def numbers(generator: torch.Generator, mask: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(mask.shape, generator=generator, dtype=torch.float64) * scale


def places(mask: torch.Tensor) -> list[tuple[int, int]]:
    return [(int(row), int(step)) for row, step in mask.nonzero()]


@given(seeds, st.floats(0.3, 2.0))
def test_token_logprobs_are_log_softmax_at_the_tokens(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, tokens = torch.randn(2, 3, 5, generator=generator), torch.randint(0, 5, (2, 3), generator=generator)
    found = losses.token_logprobs(logits, tokens, temperature)
    for row in range(2):
        for step in range(3):
            weights = [math.exp(float(value) / temperature) for value in logits[row, step]]
            assert float(found[row, step]) == pytest.approx(math.log(weights[int(tokens[row, step])] / sum(weights)), abs=1e-4)


@given(seeds)
def test_entropy_lies_between_zero_and_log_v(seed: int) -> None:
    logits = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(seed)) * 5
    found = losses.entropy(logits)
    assert bool((found >= -1e-5).all())
    assert bool((found <= math.log(7) + 1e-5).all())
    assert losses.entropy(torch.zeros(1, 1, 7)).item() == pytest.approx(math.log(7))


@given(seeds)
def test_k3_is_never_negative_and_both_estimators_are_zero_for_equal_models(seed: int) -> None:
    generator, mask = batch(seed)
    ours, theirs = numbers(generator, mask), numbers(generator, mask)
    assert bool((losses.kl_divergence(ours, theirs, "k3") >= 0).all())
    for estimator in ("k1", "k3"):
        assert float(losses.kl_divergence(ours, ours, estimator).abs().max()) == 0.0


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_both_estimators_have_the_true_divergence_as_their_mean(estimator: Literal["k1", "k3"]) -> None:
    ours, theirs = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    truth = float((ours * (ours / theirs).log()).sum())
    assert float((ours * losses.kl_divergence(ours.log(), theirs.log(), estimator)).sum()) == pytest.approx(truth)


@given(seeds, st.floats(0.05, 0.5))
def test_policy_loss_is_the_mean_over_the_tokens_of_the_worse_of_both_surrogates(seed: int, clip: float) -> None:
    generator, mask = batch(seed)
    new, old, gains = numbers(generator, mask, 0.3), numbers(generator, mask, 0.3), numbers(generator, mask)
    found = losses.policy_loss(new, old, gains, mask, clip=clip)
    total = clipped = 0.0
    for place in places(mask):
        ratio, gain = math.exp(float(new[place] - old[place])), float(gains[place])
        held = min(max(ratio, 1 - clip), 1 + clip)
        total -= min(ratio * gain, held * gain)
        clipped += held * gain < ratio * gain
    assert float(found.loss) == pytest.approx(total / len(places(mask)))
    assert float(found.clipped) == pytest.approx(clipped / len(places(mask)))


def test_a_ratio_past_the_clip_has_no_gradient_where_it_would_gain_more() -> None:
    new = torch.tensor([[0.5, 0.5]], requires_grad=True)
    losses.policy_loss(new, torch.zeros(1, 2), torch.tensor([[1.0, -1.0]]), torch.ones(1, 2, dtype=torch.bool), clip=0.2).loss.backward()  # type: ignore[no-untyped-call] # untyped in torch
    assert new.grad is not None
    assert float(new.grad[0, 0]) == 0.0
    assert float(new.grad[0, 1]) > 0


@given(seeds, st.floats(0.05, 0.5))
def test_value_loss_is_half_the_mean_of_the_larger_squared_error(seed: int, clip: float) -> None:
    generator, mask = batch(seed)
    values, old, returns = numbers(generator, mask), numbers(generator, mask), numbers(generator, mask)
    found = losses.value_loss(values, old, returns, mask, clip=clip)
    total = 0.0
    for place in places(mask):
        value, before, goal = float(values[place]), float(old[place]), float(returns[place])
        held = before + min(max(value - before, -clip), clip)
        total += 0.5 * max((value - goal) ** 2, (held - goal) ** 2)
    assert float(found.loss) == pytest.approx(total / len(places(mask)))


@given(seeds)
def test_parts_of_a_batch_add_up_to_the_whole_when_they_know_its_count(seed: int) -> None:
    generator, mask = batch(seed, rows=6)
    new, old, gains = numbers(generator, mask, 0.3), numbers(generator, mask, 0.3), numbers(generator, mask)
    whole = losses.policy_loss(new, old, gains, mask, clip=0.2).loss
    parts = [losses.policy_loss(new[rows], old[rows], gains[rows], mask[rows], clip=0.2, count=mask.sum()).loss for rows in (slice(0, 1), slice(1, 6))]
    assert float(sum(parts)) == pytest.approx(float(whole))


@given(seeds, st.floats(0.5, 1.0), st.floats(0.0, 1.0))
def test_advantages_are_the_discounted_sums_of_the_temporal_differences(seed: int, discount: float, gae_lambda: float) -> None:
    generator, mask = batch(seed)
    rewards, values = numbers(generator, mask), numbers(generator, mask)
    found = adv.generalized_advantages(rewards, values, mask, discount=discount, gae_lambda=gae_lambda)
    for row in range(len(mask)):
        length = int(mask[row].sum())
        value = [*(float(values[row, step]) for step in range(length)), 0.0]
        delta = [float(rewards[row, step]) + discount * value[step + 1] - value[step] for step in range(length)]
        for step in range(length):
            expected = sum((discount * gae_lambda) ** ahead * delta[step + ahead] for ahead in range(length - step))
            assert float(found[row, step]) == pytest.approx(expected, abs=1e-9)
    assert float(found[~mask].abs().sum()) == 0.0


@given(seeds)
def test_with_lambda_one_and_no_discount_returns_are_the_rewards_to_come(seed: int) -> None:
    generator, mask = batch(seed)
    rewards, values = numbers(generator, mask), numbers(generator, mask)
    returns = adv.generalized_advantages(rewards, values, mask, discount=1, gae_lambda=1) + values
    assert float(returns[0, 2]) == pytest.approx(float(rewards[0, 2:].sum()))


@given(seeds, st.floats(0, 1))
def test_the_score_stands_at_the_last_token_and_the_penalty_at_every_one(seed: int, coefficient: float) -> None:
    generator, mask = batch(seed)
    scores, kl = torch.randn(len(mask), generator=generator, dtype=torch.float64), numbers(generator, mask)
    found = adv.token_rewards(scores, kl, mask, coefficient=coefficient)
    for row in range(len(mask)):
        length = int(mask[row].sum())
        for step in range(mask.shape[1]):
            expected = 0.0 if step >= length else -coefficient * float(kl[row, step]) + (float(scores[row]) if step == length - 1 else 0.0)
            assert float(found[row, step]) == pytest.approx(expected)


@given(seeds)
@settings(max_examples=50)
def test_whitening_over_two_devices_is_that_of_the_whole_batch(seed: int) -> None:
    generator, mask = batch(seed, rows=6)
    values = numbers(generator, mask, 3.0) + 100
    whole = adv.whiten(values, mask)
    assert float(whole[mask].mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(whole[mask].std(correction=0)) == pytest.approx(1.0, abs=1e-3)
    halves = (slice(0, 2), slice(2, 6))
    sums = torch.stack([torch.where(mask, values, 0.0).sum(), mask.sum().double()])
    squares = torch.where(mask, values - sums[0] / sums[1], 0.0).square().sum().unsqueeze(0)
    for half in halves:
        answers = iter((sums, squares))  # what the two devices' vectors add up to
        assert torch.allclose(adv.whiten(values[half], mask[half], total=lambda own: next(answers)), whole[half])  # noqa: B023 - called at once


def test_a_reply_that_was_cut_off_pays() -> None:
    assert adv.missing_eos(torch.tensor([1.0, 1.0]), torch.tensor([True, False]), penalty=0.75).tolist() == [1.0, 0.25]


@given(seeds)
def test_explained_variance_of_a_perfect_critic_is_one_and_of_a_constant_zero(seed: int) -> None:
    generator, mask = batch(seed)
    returns = numbers(generator, mask)
    assert float(adv.explained_variance(returns, returns, mask)) == pytest.approx(1.0)
    assert float(adv.explained_variance(torch.full_like(returns, 3.0), returns, mask)) == pytest.approx(0.0, abs=1e-9)
    assert float(adv.explained_variance(-returns, returns, mask)) == pytest.approx(-3.0)


@pytest.mark.parametrize(("kl", "expected"), [(6.0, 0.1), (12.0, 0.1 * 1.002), (0.0, 0.1 * 0.998), (6.6, 0.1 * 1.001)])
def test_the_controller_moves_towards_its_target_by_at_most_a_fifth(kl: float, expected: float) -> None:
    assert adv.KlController(coefficient=0.1, target=6.0, horizon=10_000).after(kl, 100).coefficient == pytest.approx(expected)


def test_without_a_target_the_coefficient_stays() -> None:
    assert adv.KlController(coefficient=0.1).after(100.0, 100).coefficient == 0.1
