import numpy as np
import pytest

from evaluation import FeatureSet
from evaluation.frechet import frechet_value
from evaluation.ratio import distance_ratio


def rows(generator: np.random.Generator, n: int, shift: float) -> FeatureSet:
    return FeatureSet(generator.normal(size=(n, 4)) + shift, np.arange(n), "toy")


def real(generator: np.random.Generator, patients: int = 40) -> FeatureSet:
    own = np.repeat(generator.normal(size=(patients, 4)), 3, axis=0)
    return FeatureSet(own + 0.5 * generator.normal(size=own.shape), np.repeat(np.arange(patients), 3), "toy")


def test_the_ratio_is_that_of_the_distances_and_no_extractor_s_unit() -> None:
    generator = np.random.default_rng(0)
    truth, near, far = real(generator), rows(generator, 80, 1.0), rows(generator, 80, 2.0)
    found = distance_ratio(truth, near, far)
    expected = frechet_value(truth.rows, near.rows) / frechet_value(truth.rows, far.rows)
    assert found.point == pytest.approx(expected)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.point < found.high
    scaled = [FeatureSet(7 * each.rows, each.groups, "toy") for each in (truth, near, far)]
    again = distance_ratio(*scaled)
    assert (again.point, again.low, again.high) == pytest.approx((found.point, found.low, found.high))


def test_a_set_is_as_far_as_itself() -> None:
    generator = np.random.default_rng(1)
    truth, near = real(generator), rows(generator, 80, 1.0)
    found = distance_ratio(truth, near, near)
    assert (found.point, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_interval_is_as_wide_as_the_ratio_spreads_over_patients_and_samples() -> None:
    generator = np.random.default_rng(2)
    points, errors = [], []
    for _ in range(300):
        found = distance_ratio(real(generator), rows(generator, 60, 1.0), rows(generator, 60, 2.0))
        points.append(found.point)
        errors.append((float(found.high or 0) - found.point) / 2.0)  # t is about 2 at these counts
    # 300 repeats know a standard deviation to 4 %; the rest is the delta method's own error
    assert np.mean(errors) == pytest.approx(np.std(points), rel=0.15)


def test_nothing_can_be_so_many_times_as_far_as_zero() -> None:
    generator = np.random.default_rng(3)
    truth, near = real(generator), rows(generator, 80, 1.0)
    with pytest.raises(ValueError, match="second distance above 0, but got"):
        distance_ratio(truth, near, truth)
