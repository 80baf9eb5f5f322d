"""Requested against realized: hand calculations, scipy's correlation, laws of shift and scale, and coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.controllability import controllability, correlation


def draw(n: int, seed: int, *, slope: float = 0.5, shift: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    requested = random.normal(10, 3, n)
    return requested, slope * requested + shift + random.normal(0, 1, n)


def test_the_three_numbers_are_those_worked_by_hand() -> None:
    found = controllability(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 5.0]))
    assert [each.name for each in found] == ["control_correlation", "control_absolute_error", "control_bias"]
    assert [each.point for each in found] == pytest.approx([3 / math.sqrt(2 * 6), 1.0, 1.0])
    assert found[0].n == {"generated": 3}


def test_the_correlation_is_that_of_scipy() -> None:
    requested, realized = draw(80, 0)
    assert float(correlation(requested, realized)) == pytest.approx(stats.pearsonr(requested, realized).statistic)


def test_perfect_obedience_leaves_no_doubt() -> None:
    requested, _ = draw(20, 1)
    correlated, error, bias = controllability(requested, requested)
    assert (correlated.point, correlated.low, correlated.high) == pytest.approx((1.0, 1.0, 1.0))
    assert (error.point, error.low, error.high, bias.point, bias.low, bias.high) == (0.0,) * 6


def test_a_shift_of_all_samples_moves_the_bias_and_leaves_the_correlation() -> None:
    requested, realized = draw(30, 2)
    before, after = controllability(requested, realized), controllability(requested, realized + 5)
    assert after[0].point == pytest.approx(before[0].point)
    for end in ("point", "low", "high"):
        assert getattr(after[2], end) == pytest.approx(getattr(before[2], end) + 5)


def test_the_order_of_the_samples_is_irrelevant_to_the_points_and_the_seed_fixes_the_interval() -> None:
    requested, realized = draw(30, 3)
    one, other = controllability(requested, realized), controllability(requested[::-1], realized[::-1])
    assert [each.point for each in one] == pytest.approx([each.point for each in other])
    assert controllability(requested, realized) == one
    assert controllability(requested, realized, seed=1)[2].low != one[2].low


def test_pairs_are_resampled_together() -> None:
    """The bias of realized = requested + 1 is 1 in every resample of pairs; apart, it would spread."""
    requested, _ = draw(30, 4)
    _, error, bias = controllability(requested, requested + 1)
    assert (bias.low, bias.high, error.low, error.high) == pytest.approx((1.0,) * 4)


def test_the_interval_of_the_bias_is_about_that_of_a_mean() -> None:
    """Against 1.96 standard errors of the mean difference, within 8 % for 400 samples and 2000 resamples."""
    requested, realized = draw(400, 5)
    _, _, bias = controllability(requested, realized)
    error = (realized - requested).std(ddof=1) / math.sqrt(400)
    assert bias.low is not None
    assert bias.high is not None
    assert (bias.high - bias.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.08)


def test_the_interval_of_the_correlation_covers_as_often_as_it_says() -> None:
    """Slope 0.5, spread 3 and noise 1: r = 1.5 / sqrt(1.5^2 + 1). Of 200 intervals of 90 %, percentiles of 60
    samples cover a little less: 0.84 to 0.95 are three standard errors about 0.895."""
    truth, inside = 1.5 / math.sqrt(1.5**2 + 1), 0
    for seed in range(200):
        found = controllability(*draw(60, seed), level=0.9, replicates=200, seed=seed)[0]
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    assert 0.83 <= inside / 200 <= 0.96


def test_a_model_that_always_gives_the_same_has_no_correlation_but_an_error() -> None:
    requested, _ = draw(10, 6)
    correlated, error, _ = controllability(requested, np.zeros(10))
    assert math.isnan(correlated.point)
    assert error.point == pytest.approx(np.abs(requested).mean())


def test_many_samples_are_resampled_in_blocks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    requested, realized = draw(40, 7)
    whole = controllability(requested, realized, replicates=100)
    monkeypatch.setattr("evaluation.controllability.LARGEST_BLOCK", 130)
    assert controllability(requested, realized, replicates=100) == whole


@pytest.mark.parametrize(
    "requested, realized, settings, message",
    [
        ([1.0, 2.0], [1.0, 2.0], {}, "at least 3 samples"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, math.nan], {}, "must be finite"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], {"level": 1.0}, "level must lie between"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], {"replicates": 1}, "replicates must be at least 2"),
    ],
)
def test_numbers_that_allow_no_answer_are_refused(
    requested: list[float], realized: list[float], settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        controllability(np.array(requested), np.array(realized), **settings)  # type: ignore[arg-type]
