import time

import numpy as np
import pytest
from PIL import Image

from evaluation import FeatureSet, frechet_distance
from evaluation.curve import DistanceCurve, distance_curve, draw_curve


def normal(seed, n, d, *, per_patient=1):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return FeatureSet(rows, np.arange(n) // per_patient, "toy")


def test_the_last_point_is_the_distance_of_the_whole_sets(make_features):
    real, generated = make_features(0, 48, per_patient=4), make_features(1, 60, offset=0.5)
    last = distance_curve(real, generated).points[-1]
    assert (last.n, last.real, last.generated, last.repeats) == (60, 48, 60, 1)
    assert last.mean == last.low == last.high
    assert last.mean == pytest.approx(frechet_distance(real, generated).point, rel=1e-12)


def test_the_distance_of_one_population_falls_at_every_doubling():
    # E Tr sqrt(S1 S2) rises with n, for it is jointly concave; 12 draws of both sets make the mean steady
    curves = [distance_curve(normal(2 * k, 128, 16), normal(2 * k + 1, 128, 16), seed=k) for k in range(12)]
    means = np.array([[point.mean for point in curve.points] for curve in curves]).mean(0)
    assert len(means) == 5
    assert (np.diff(means) < 0).all()


def test_in_one_dimension_each_point_is_the_hand_formula():
    # with d = 1 the distance is (mean1 - mean2)^2 + (sd1 - sd2)^2; 4 rows of 2 patients: the only part of 2 patients
    real = FeatureSet(np.array([[0.0], [2.0], [4.0], [6.0]]), np.array([0, 0, 1, 1]), "toy")
    generated = FeatureSet(np.array([[1.0], [1.0], [3.0], [3.0]]), np.arange(4), "toy")
    (point,) = distance_curve(real, generated, sizes=[4]).points
    assert point.mean == pytest.approx((3 - 2) ** 2 + (np.sqrt(20 / 3) - np.sqrt(4 / 3)) ** 2)


def test_a_part_holds_whole_patients_and_lies_in_the_next_larger_part():
    values = np.arange(24, dtype=float)[:, None] ** 2
    real = FeatureSet(values, np.arange(24) // 3, "toy")
    points = distance_curve(real, real, sizes=[7, 12, 24]).points
    assert [(point.real, point.generated) for point in points] == [(6, 6), (12, 12), (24, 24)]


def test_a_smaller_side_gives_all_it_has():
    points = distance_curve(normal(0, 20, 4), normal(1, 80, 4)).points
    assert [point.n for point in points] == [5, 10, 20, 40, 80]
    assert [point.real for point in points] == [5, 10, 20, 20, 20]


def test_default_sizes_stop_where_a_part_would_be_less_than_two_patients():
    points = distance_curve(normal(0, 80, 4, per_patient=10), normal(1, 80, 4)).points
    assert [point.n for point in points] == [20, 40, 80]


def test_the_floor_is_drawn_as_far_as_its_patients_reach():
    real, other = normal(0, 64, 4), normal(2, 20, 4)
    curve = distance_curve(real, normal(1, 64, 4), floor=(other, other), sizes=[8, 16, 32, 64])
    assert [point.n for point in curve.floor] == [8, 16, 20]
    assert curve.floor[-1].mean == 0


def test_the_seed_decides_the_parts():
    real, generated = normal(0, 64, 4), normal(1, 64, 4)
    assert distance_curve(real, generated, seed=3) == distance_curve(real, generated, seed=3)
    assert distance_curve(real, generated, seed=3) != distance_curve(real, generated, seed=4)


def test_the_last_fall_is_the_share_lost_from_half_to_all():
    curve = distance_curve(normal(0, 64, 8), normal(1, 64, 8))
    assert curve.last_fall == pytest.approx(1 - curve.points[-1].mean / curve.points[-2].mean)
    assert distance_curve(normal(0, 64, 8), normal(1, 64, 8), sizes=[64]).last_fall is None


def test_a_curve_returns_from_json():
    real = normal(0, 32, 4)
    curve = distance_curve(real, normal(1, 32, 4), floor=(real, real))
    assert DistanceCurve.from_json(curve.to_json()) == curve


@pytest.mark.parametrize("changes", [{"sizes": [1, 8]}, {"sizes": []}, {"repeats": 0}])
def test_sizes_and_repeats_that_say_nothing_are_refused(changes):
    with pytest.raises(ValueError, match="must be"):
        distance_curve(normal(0, 8, 2), normal(1, 8, 2), **changes)


def test_a_curve_is_drawn_as_a_picture(tmp_path):
    real = normal(0, 32, 4)
    path = draw_curve(distance_curve(real, normal(1, 32, 4), floor=(real, real)), tmp_path / "curve.png", title="t")
    with Image.open(path) as picture:
        assert min(picture.size) > 300


@pytest.mark.slow
def test_five_hundred_rows_of_width_1280_take_a_few_seconds():
    real, generated = normal(0, 500, 1280, per_patient=10), normal(1, 500, 1280)
    started = time.perf_counter()
    distance_curve(real, generated, floor=(real, real))
    assert time.perf_counter() - started < 10
