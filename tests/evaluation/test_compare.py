import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import stats

from evaluation import FeatureSet
from evaluation.compare import STATISTICS, compare_features, compare_influences, compare_scores
from evaluation.difference import IDENTICAL, Difference, adjust
from evaluation.influence import Influence
from evaluation.kernel import kernel_influence


def mean_influence(real, generated):
    """The squared gap of the mean of feature 0, less its noise: the simplest smooth statistic with both sides."""
    x, y = real.rows[:, 0], generated.rows[:, 0]
    gap = y.mean() - x.mean()
    return Influence(gap**2, -2 * gap * (x - x.mean()), 2 * gap * (y - y.mean()))


def draw(seed, *, patients=20, per_patient=6, samples=100, d=6, shared=0.0, shifts=(0.3, 0.6)):
    """Draw slices of patients alike within, and two models whose samples answer to the same noise to a degree."""
    generator = np.random.default_rng(seed)
    between = np.repeat(generator.standard_normal((patients, d)), per_patient, axis=0)
    rows = np.sqrt(0.7) * between + np.sqrt(0.3) * generator.standard_normal(between.shape)
    real = FeatureSet(rows, np.arange(len(rows)) // per_patient, "toy")
    noise = generator.standard_normal((samples, d))
    models = []
    for shift in shifts:
        own = generator.standard_normal((samples, d))
        mixed = np.sqrt(shared) * noise + np.sqrt(1 - shared) * own + shift
        models.append(FeatureSet(mixed, np.arange(samples), "toy"))
    return real, *models


def compare(measure, real, first, second, *, paired=False, **settings):
    return compare_influences(
        measure(real, first),
        measure(real, second),
        real=real,
        first_generated=first,
        second_generated=second,
        paired=paired,
        **settings,
    )


def width(difference):
    return difference.high - difference.low


def test_a_difference_worked_by_hand():
    """Patients {a, a, b}: centered gaps (3, 1, -4), summed to (4, -4), variance 2/1 x 32/9; samples (2, -2) apiece."""
    real = FeatureSet(np.array([[0.0], [1.0], [2.0]]), np.array([5, 5, 8]), "toy")
    first, second = (FeatureSet(np.array([[value], [value + 1]]), np.arange(2), "toy") for value in (0.0, 7.0))
    a = Influence(10.0, np.array([4.0, 2.0, -6.0]), np.array([2.0, -2.0]))
    b = Influence(7.0, np.array([1.0, 1.0, -2.0]), np.array([2.0, -2.0]))
    shared, side = 2 * 32 / 9, 2 * 8 / 4
    found = compare_influences(a, b, real=real, first_generated=first, second_generated=second, paired=False)
    freedom = (shared + 2 * side) ** 2 / (shared**2 + 2 * side**2)
    error = np.sqrt(shared + 2 * side)
    assert found.point == 3
    assert found.high == pytest.approx(3 + stats.t.ppf(0.975, freedom) * error, rel=1e-9)
    assert found.p == pytest.approx(2 * stats.t.sf(3 / error, freedom), rel=1e-9)
    together = compare_influences(a, b, real=real, first_generated=first, second_generated=second, paired=True)
    assert width(together) == pytest.approx(2 * stats.t.ppf(0.975, 1) * np.sqrt(shared), rel=1e-9)  # samples cancel
    split = replace(a, split_variance=1.5)
    wider = compare_influences(split, b, real=real, first_generated=first, second_generated=second, paired=False)
    assert (width(wider) / width(found)) ** 2 == pytest.approx(1 + 1.5 / error**2, rel=1e-9)


@pytest.mark.parametrize("paired", [False, True])
def test_first_less_second_is_second_less_first_turned_around(paired):
    real, first, second = draw(1, shared=0.5)
    ahead = compare_features(real, first, second, paired=paired, labels=("A", "B"))
    back = compare_features(real, second, first, paired=paired, labels=("B", "A"))
    assert len(ahead) == len(STATISTICS) + 4
    for one, other in zip(ahead, back, strict=True):
        assert (one.name, one.first, one.second) == (other.name, other.second, other.first)
        assert (one.point, one.low, one.high) == pytest.approx((-other.point, -other.high, -other.low), rel=1e-9)
        assert one.p == pytest.approx(other.p, rel=1e-9)


@pytest.mark.parametrize("paired", [False, True])
def test_a_model_is_identical_to_itself(paired):
    real, first, _ = draw(1)
    for each in compare_features(real, first, first, paired=paired):
        assert (each.point, each.low, each.high, each.p, each.interval) == (0, 0, 0, 1, IDENTICAL)
        assert each.is_identical


def test_a_shared_reference_makes_the_interval_narrower_than_two_independent_ones():
    real, first, second = draw(2, patients=8, samples=400, shifts=(0.5, 0.6))
    found = compare(kernel_influence, real, first, second)
    alone = [kernel_influence(real, each).error(real, each).value for each in (first, second)]
    independent = 2 * stats.t.ppf(0.975, 1000) * np.hypot(*alone)
    assert width(found) < 0.6 * independent


def test_shared_noise_makes_the_interval_narrower_and_independent_noise_does_not():
    real, first, second = draw(3, shared=0.95, samples=300)
    assert width(compare(kernel_influence, real, first, second, paired=True)) < 0.8 * width(
        compare(kernel_influence, real, first, second)
    )
    real, first, second = draw(3, shared=0.0, samples=300)
    ratio = width(compare(kernel_influence, real, first, second, paired=True)) / width(
        compare(kernel_influence, real, first, second)
    )
    assert ratio == pytest.approx(1, abs=0.1)


def test_the_interval_excludes_zero_exactly_where_p_is_below_one_minus_the_level():
    found = [compare(mean_influence, *draw(seed), level=0.8) for seed in range(30)]
    assert 3 < sum(each.p < 0.2 for each in found) < 30
    for each in found:
        assert (each.low > 0 or each.high < 0) == (each.p < 0.2)


def test_one_more_comparison_never_lowers_p_and_identical_sides_do_not_count():
    real, first, second = draw(1)
    found = [compare(mean_influence, real, first, second, name=name) for name in ("a", "b")]
    same = compare(mean_influence, real, first, first)
    unknown = replace(found[0], low=None, high=None, p=None)
    alone = adjust([found[0], same, unknown])
    assert [each.p_holm for each in alone] == [found[0].p, 1.0, None]
    assert adjust(found)[0].p_holm == pytest.approx(min(1, 2 * found[0].p))


def share_covered(measure, target, *, trials, paired, seed=10_000, **shape):
    found = [measure(*draw(seed + trial, **shape), paired=paired) for trial in range(trials)]
    return np.mean([each.low <= target <= each.high for each in found])


def test_the_interval_of_the_difference_covers():
    """The target of the squared gaps is 0.5^2 - 1.5^2; the noise that squares add is the same on both sides."""
    for shared, paired in ((0.0, False), (0.9, True)):
        shape = {"shared": shared, "patients": 30, "shifts": (0.5, 1.5)}
        covered = share_covered(partial(compare, mean_influence), 0.25 - 2.25, trials=400, paired=paired, **shape)
        assert 0.925 < covered < 0.98, "400 trials put 95 % within 2.2 points"


@pytest.mark.slow
@pytest.mark.parametrize("shared, paired", [(0.0, False), (0.8, True)])
@pytest.mark.parametrize("name", list(STATISTICS))
def test_the_interval_of_each_distance_covers_its_mean_difference(name, shared, paired):
    measure = partial(compare, STATISTICS[name])
    target = np.mean([measure(*draw(trial, shared=shared), paired=paired).point for trial in range(600)])
    assert share_covered(measure, target, trials=400, paired=paired, shared=shared) >= 0.92


def test_scores_of_the_same_images_worked_by_hand():
    """Patient means of the gap 1 and 3 over two slices each: error |3 - 1| / 2, one degree of freedom."""
    groups = np.array([0, 0, 1, 1])
    first, second = np.array([2.0, 2.0, 5.0, 7.0]), np.array([1.0, 1.0, 3.0, 3.0])
    found = compare_scores(first, second, groups, name="ssim", direction="higher", labels=("A", "B"))
    assert found.point == 2
    assert found.high == pytest.approx(2 + stats.t.ppf(0.975, 1) * 1.0, rel=1e-9)
    assert found.n == {"real": 4, "real_patients": 2}


def test_scores_with_one_slice_per_patient_are_the_paired_t_test():
    generator = np.random.default_rng(0)
    first, second = generator.standard_normal((2, 15))
    found = compare_scores(first, second, np.arange(15), name="psnr", direction="higher")
    oracle = stats.ttest_rel(first, second)
    assert found.p == pytest.approx(oracle.pvalue, rel=1e-9)
    limits = oracle.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), rel=1e-9)


def test_slices_are_not_taken_for_patients():
    generator = np.random.default_rng(1)
    first = np.repeat(generator.standard_normal(10), 8)
    patients = compare_scores(first, np.zeros(80), np.arange(80) // 8, name="ssim", direction="higher")
    slices = compare_scores(first, np.zeros(80), np.arange(80), name="ssim", direction="higher")
    assert width(patients) > 2.5 * width(slices)


def test_infinite_scores_are_left_out_and_counted():
    scores = np.array([np.inf, 30.0, 31.0, 33.0])
    found = compare_scores(scores, np.array([30.0, 29.0, 30.0, 31.0]), np.arange(4), name="psnr", direction="higher")
    assert found.point == pytest.approx(4 / 3)
    assert found.note == "1 of 4 images have an infinite score"
    alone = compare_scores(scores[:2], np.array([30.0, 29.0]), np.arange(2), name="psnr", direction="higher")
    assert (alone.point, alone.low, alone.p) == (1.0, None, None)
    same = compare_scores(scores, scores.copy(), np.arange(4), name="psnr", direction="higher")
    assert same.is_identical


def test_a_refused_distance_is_told_and_not_measured():
    real, first, second = draw(1)
    found = compare_features(
        real, first, second, paired=False, statistics={}, refused={"sfd": "60 rows for 1280 features"}
    )
    assert (found[0].name, found[0].low, found[0].p) == ("sfd_toy", None, None)
    assert np.isnan(found[0].point)
    assert found[0].note == "60 rows for 1280 features"


def test_the_record_survives_strict_json():
    real, first, second = draw(1)
    found = adjust(compare_features(real, first, second, paired=False, refused={"sfd": "too few"}))
    for each in found:
        again = Difference.from_json(json.loads(json.dumps(each.to_json(), allow_nan=False)))
        assert again == each or (np.isnan(again.point) and replace(again, point=0.0) == replace(each, point=0.0))


def test_sets_that_cannot_be_compared_are_refused():
    real, first, second = draw(1)
    fewer = FeatureSet(second.rows[:50], second.groups[:50], "toy")
    with pytest.raises(ValueError, match=r"as many samples.*100 and 50"):
        compare_features(real, first, fewer, paired=False)
    with pytest.raises(ValueError, match=r"listed alike.*100 and 50 rows"):
        compare(mean_influence, real, first, fewer, paired=True)
    with pytest.raises(ValueError, match="one extractor"):
        compare_features(real, first, FeatureSet(second.rows, second.groups, "other"), paired=False)


@pytest.mark.usefixtures("_as_users_run")
def test_scores_of_other_images_are_refused():
    with pytest.raises(ValueError, match="same images, but got 3, 2 for 3"):
        compare_scores(np.zeros(3), np.zeros(2), np.arange(3), name="ssim", direction="higher")
