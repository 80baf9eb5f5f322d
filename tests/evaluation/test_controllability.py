"""Requested against realized: hand calculations, scipy's regression, laws of shift and scale, and coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.controllability import controllability, withhold_control


def draw(n: int, seed: int, *, slope: float = 0.5, shift: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    requested = random.normal(10, 3, n)
    return requested, slope * requested + shift + random.normal(0, 1, n)


def test_the_four_numbers_are_those_worked_by_hand() -> None:
    found = controllability(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 5.0]), of="area")
    names = ["correlation", "slope", "bias", "absolute_error"]
    assert [each.name for each in found] == [f"control_{name}_area" for name in names]
    assert [each.point for each in found] == pytest.approx([3 / math.sqrt(2 * 6), 1.5, 1.0, 1.0])
    assert found[0].n == {"generated": 3}
    assert [each.direction for each in found] == ["higher", None, None, "lower"], "1 and 0 are the goals between"


def test_correlation_and_slope_are_those_of_scipy() -> None:
    requested, realized = draw(80, 0)
    truth = stats.linregress(requested, realized)
    correlated, slope, _, _ = controllability(requested, realized)
    assert (correlated.point, slope.point) == pytest.approx((truth.rvalue, truth.slope))


def test_perfect_obedience_leaves_no_doubt() -> None:
    requested, _ = draw(20, 1)
    correlated, slope, bias, error = controllability(requested, requested)
    for best in (correlated, slope):
        assert (best.point, best.low, best.high) == pytest.approx((1.0, 1.0, 1.0))
    assert (error.point, error.low, error.high) == (0.0,) * 3
    assert (bias.point, bias.low, bias.high) == pytest.approx((0.0,) * 3)


def test_a_model_that_gives_half_of_all_is_caught_by_the_slope_and_not_by_the_correlation() -> None:
    requested, _ = draw(20, 1)
    correlated, slope, _, _ = controllability(requested, requested / 2)
    assert (correlated.point, slope.point, slope.low) == pytest.approx((1.0, 0.5, 0.5))


def test_a_shift_of_all_samples_moves_the_bias_and_leaves_correlation_and_slope() -> None:
    requested, realized = draw(30, 2)
    before, after = controllability(requested, realized), controllability(requested, realized + 5)
    for first, second in zip(before[:2], after[:2], strict=True):
        assert (second.point, second.low, second.high) == pytest.approx((first.point, first.low, first.high))
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
    _, _, bias, error = controllability(requested, requested + 1)
    assert (bias.low, bias.high, error.low, error.high) == pytest.approx((1.0,) * 4)


def test_the_interval_of_the_bias_is_about_that_of_a_mean() -> None:
    """Against 1.96 standard errors of the mean difference, within 8 % for 400 samples and 2000 resamples."""
    requested, realized = draw(400, 5)
    bias = controllability(requested, realized)[2]
    error = (realized - requested).std(ddof=1) / math.sqrt(400)
    assert bias.low is not None
    assert bias.high is not None
    assert (bias.high - bias.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("which, truth", [(0, 1.5 / math.sqrt(1.5**2 + 1)), (1, 0.5)])
def test_the_intervals_cover_as_often_as_they_say(which: int, truth: float) -> None:
    """Slope 0.5, spread 3 and noise 1: r = 1.5 / sqrt(1.5^2 + 1). Of 200 intervals of 90 %, percentiles of 60
    samples cover a little less: 0.84 to 0.95 are three standard errors about 0.895."""
    inside = 0
    for seed in range(200):
        found = controllability(*draw(60, seed), level=0.9, replicates=200, seed=seed)[which]
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    assert 0.83 <= inside / 200 <= 0.97


def test_slices_of_a_patient_are_drawn_together() -> None:
    """Each patient's pair stands there four times: as patients it widens nothing, as rows it would halve the error."""
    requested, realized = (np.repeat(side, 4) for side in draw(40, 8))
    bias = controllability(requested, realized, groups=np.repeat(np.arange(40), 4))[2]
    once = controllability(requested[::4], realized[::4])[2]
    assert (bias.point, bias.low, bias.high) == pytest.approx((once.point, once.low, once.high))
    assert bias.n == {"slices": 160, "patients": 40}
    assert "40 patients" in bias.interval


def test_a_model_that_always_gives_the_same_has_no_correlation_but_a_slope_of_0_and_an_error() -> None:
    requested, _ = draw(10, 6)
    correlated, slope, _, error = controllability(requested, np.full(10, 0.1))
    assert math.isnan(correlated.point)
    assert (correlated.low, correlated.high) == (None, None)
    assert slope.point == pytest.approx(0.0)
    assert error.point == pytest.approx(np.abs(requested - 0.1).mean())


def test_one_request_for_all_has_neither_correlation_nor_slope_but_a_bias() -> None:
    _, realized = draw(10, 7)
    correlated, slope, bias, _ = controllability(np.full(10, 0.3), realized)
    assert math.isnan(correlated.point)
    assert math.isnan(slope.point)
    assert bias.point == pytest.approx(realized.mean() - 0.3)
    assert bias.low is not None


def test_what_cannot_be_measured_is_said_in_words_without_a_number() -> None:
    withheld = withhold_control("age", "label maps do not show it")
    assert (withheld.name, withheld.low, withheld.high) == ("control_correlation_age", None, None)
    assert math.isnan(withheld.point)
    assert withheld.interval == "refused: label maps do not show it"


@pytest.mark.parametrize(
    "requested, realized, settings, message",
    [
        ([1.0, 2.0], [1.0, 2.0], {}, "at least 3 samples"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, math.nan], {}, "must be finite"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], {"level": 1.0}, "level must lie between"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], {"replicates": 1}, "replicates must be at least 2"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], {"groups": np.zeros(3)}, "at least 2 patients"),
    ],
)
def test_numbers_that_allow_no_answer_are_refused(
    requested: list[float], realized: list[float], settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        controllability(np.array(requested), np.array(realized), **settings)  # type: ignore[arg-type]
