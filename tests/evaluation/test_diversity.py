import itertools

import numpy as np
import pytest
import torch

from evaluation import FeatureSet, ImageSet, stand_alone
from evaluation.diversity import (
    diversity,
    diversity_gap,
    draw_pairs,
    feature_diversity,
    feature_spread,
    image_spread,
)
from evaluation.multiscale import ms_ssim_scores


def test_identical_images_have_diversity_one_without_doubt(make_images):
    one = make_images(1, 1).images
    result = diversity(stand_alone(one.expand(8, -1, -1, -1)))
    assert (result.point, result.low, result.high) == pytest.approx((1, 1, 1), abs=1e-12)


def test_the_point_is_the_mean_over_all_pairs_of_different_patients(make_images):
    images = make_images(1, 6)  # two per patient
    pairs = [(i, j) for i, j in itertools.combinations(range(6), 2) if i // 2 != j // 2]
    left, right = (stand_alone(images.images[[pair[side] for pair in pairs]]) for side in (0, 1))
    result = diversity(images)
    assert result.point == pytest.approx(ms_ssim_scores(left, right).mean(), rel=1e-12)
    assert result.n == {"images": 6, "patients": 3, "pairs": 12}


def test_a_collapsed_set_stands_above_a_diverse_one(make_images, add_noise):
    diverse = stand_alone(make_images(1, 24).images)
    collapsed = add_noise(stand_alone(diverse.images[:2].repeat(12, 1, 1, 1)), 0.02)
    wide, narrow = diversity(diverse), diversity(collapsed)
    assert narrow.low > wide.high
    gap = diversity_gap(diverse, collapsed)
    assert gap.low > 0
    assert gap.point == pytest.approx(narrow.point - wide.point)


def test_real_patients_against_other_real_patients_leave_no_gap(make_images):
    gap = diversity_gap(make_images(1, 40), make_images(2, 40))
    assert gap.low < 0 < gap.high


def test_pairs_are_distinct_balanced_and_of_different_patients():
    groups = np.repeat(np.arange(20), 5)
    first, second = draw_pairs(groups, pairs=1000, seed=3)
    assert (groups[first] != groups[second]).all()
    assert len({frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}) == len(first)
    assert 900 <= len(first) <= 1000, "1 pair in 25 is of one patient, and left out"
    partners = np.bincount(np.concatenate([first, second]))
    assert partners.max() == 20, "10 steps on the circle, either way"
    assert partners.min() >= 14


@pytest.mark.parametrize("n, pairs", [(10, 45), (11, 51), (5, 10_000)])
def test_all_pairs_are_taken_where_no_more_are_asked_for(n, pairs):
    assert len(draw_pairs(np.arange(n), pairs=pairs, seed=0)[0]) == n * (n - 1) // 2


def test_the_error_is_that_of_leaving_each_patient_out_in_turn():
    groups = np.repeat([3, 5, 7, 8], [2, 1, 3, 2])
    rows = np.random.default_rng(0).standard_normal((8, 5)) + 1
    whole = feature_spread(FeatureSet(rows, groups, "toy"), pairs=100)
    points = np.array(
        [
            feature_spread(FeatureSet(rows[groups != name], groups[groups != name], "toy"), pairs=100).point
            for name in (3, 5, 7, 8)
        ]
    )
    expected = np.sqrt(3 / 4 * ((points - points.mean()) ** 2).sum())
    assert whole.error.value == pytest.approx(expected, rel=1e-10)
    assert whole.error.freedom == 3


def test_another_seed_draws_other_pairs_and_the_same_seed_the_same(make_images):
    images = stand_alone(make_images(1, 30).images)
    first, again, other = (image_spread(images, pairs=60, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.point != other.point
    assert first.pairs == 60


def toy(seed, patients, per_patient):
    """Rows around patients of their own, with a common direction so that cosines do not vanish."""
    generator = np.random.default_rng(seed)
    between = np.repeat(generator.standard_normal((patients, 6)), per_patient, axis=0)
    rows = 1 + 0.7 * between + 0.4 * generator.standard_normal(between.shape)
    return FeatureSet(rows, np.arange(len(rows)) // per_patient, "toy")


def test_feature_diversity_of_orthogonal_and_opposite_rows_is_by_hand():
    rows = np.array([[1.0, 0], [0, 2], [-3, 0]])  # cosines 0, -1, 0
    assert feature_diversity(FeatureSet(rows, np.arange(3), "toy")).point == pytest.approx(4 / 3)
    with pytest.raises(ValueError, match="1 are"):
        feature_diversity(FeatureSet(np.array([[1.0, 0], [0, 0]]), np.arange(2), "toy"))


@pytest.mark.parametrize("patients, per_patient, pairs", [(15, 4, 10_000), (15, 4, 300), (50, 1, 200)])
def test_the_interval_covers_the_mean_of_the_population(patients, per_patient, pairs):
    """300 trials put 95 % within 2.5 points; few pairs make it wider, never too narrow."""
    target = feature_spread(toy(1, 2000, 1), pairs=200_000).point
    results = [
        feature_diversity(toy(100 + trial, patients, per_patient), pairs=pairs, seed=trial) for trial in range(300)
    ]
    covered = np.mean([result.low <= target <= result.high for result in results])
    assert covered >= 0.92


def test_slices_counted_as_patients_would_not_cover():
    target = feature_spread(toy(1, 2000, 1), pairs=200_000).point
    results = []
    for trial in range(200):
        rows = toy(100 + trial, 12, 8)
        results.append(feature_diversity(FeatureSet(rows.rows, np.arange(len(rows)), "toy"), pairs=10_000))
    assert np.mean([result.low <= target <= result.high for result in results]) < 0.8


@pytest.mark.parametrize("patients, words", [(1, "at least 2 patients"), (2, "got 2 patients; 3 is the least")])
def test_one_or_two_patients_have_no_diversity(make_images, patients, words):
    images = ImageSet(make_images(1, 4).images, torch.arange(4) % patients)
    with pytest.raises(ValueError, match=words):
        diversity(images)


def test_images_of_two_sizes_do_not_compare(make_images):
    with pytest.raises(ValueError, match="one shape"):
        diversity_gap(make_images(1, 6), make_images(1, 6, size=40))
