import numpy as np
import pytest
import scipy.linalg

from evaluation import FeatureSet, frechet_distance
from evaluation.frechet import frechet_influence, frechet_value
from evaluation.frechet_bootstrap import frechet_replicates
from evaluation.intervals import resample_patients

SHAPES = [(60, 40, 16), (30, 50, 64), (80, 20, 48), (25, 25, 25), (40, 200, 64)]


def decaying(seed, n, d, power=1.0):
    """Rows with a spectrum like that of real features, far from the origin."""
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]
    return (generator.standard_normal((n, d)) * np.arange(1.0, d + 1) ** (-power / 2)) @ rotation + 5


def by_square_root(x, y):
    difference = x.mean(0) - y.mean(0)
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second)
    return difference @ difference + np.trace(first) + np.trace(second) - 2 * np.trace(root).real


def by_singular_values(x, y):
    difference = x.mean(0) - y.mean(0)
    a, b = (x - x.mean(0)) / np.sqrt(len(x) - 1), (y - y.mean(0)) / np.sqrt(len(y) - 1)
    return difference @ difference + (a**2).sum() + (b**2).sum() - 2 * scipy.linalg.svdvals(a @ b.T).sum()


@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_the_value_equals_the_definition(n, m, d):
    x, y = decaying(1, n, d), decaying(2, m, d, 1.2)
    # where a covariance has no full rank, sqrtm itself errs by 1e-7 and worse
    full_rank = min(n, m) > d
    assert frechet_value(x, y) == pytest.approx(by_square_root(x, y), rel=1e-8 if full_rank else 1e-5)
    assert frechet_value(x, y) == pytest.approx(by_singular_values(x, y), rel=1e-10)


@pytest.mark.slow  # it imports torch-fidelity
@pytest.mark.parametrize(("n", "m", "d"), [(60, 40, 16), (30, 50, 64)])
def test_the_value_equals_torch_fidelitys(n, m, d):
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    x, y = decaying(1, n, d), decaying(2, m, d, 1.2)
    statistics = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in (x, y)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_value(x, y) == pytest.approx(theirs, rel=1e-8 if min(n, m) > d else 1e-5)


def test_one_feature_has_the_textbook_value():
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0], [9.0]])
    # means 1 and 5, variances 2 and 16: (5 - 1)^2 + (sqrt 16 - sqrt 2)^2
    assert frechet_value(x, y) == pytest.approx(16 + (4 - np.sqrt(2)) ** 2, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_a_rotation_and_a_shift_of_both_sets_change_nothing(n, m, d):
    x, y = decaying(1, n, d), decaying(2, m, d, 1.2)
    rotation = np.linalg.qr(np.random.default_rng(5).standard_normal((d, d)))[0]
    assert frechet_value(x @ rotation + 3, y @ rotation + 3) == pytest.approx(frechet_value(x, y), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_the_replicates_equal_resampling_the_rows(n, m, d):
    x, y = decaying(1, n, d), decaying(2, m, d, 1.2)
    generator = np.random.default_rng(0)
    draws = [resample_patients(np.arange(k) // 2, replicates=4, generator=generator) for k in (n, m)]
    fast = frechet_replicates(x, y, *draws)
    slow = [
        by_singular_values(np.repeat(x, v.astype(int), axis=0), np.repeat(y, w.astype(int), axis=0))
        for v, w in zip(*draws, strict=True)
    ]
    np.testing.assert_allclose(fast, slow, rtol=1e-9)  # the eigenvalues of a square lose half the digits of the least


def test_either_library_of_eigenvalues_serves(monkeypatch):
    x, y = decaying(1, 60, 16), decaying(2, 40, 16, 1.2)
    draws = np.ones((1, 60)), np.ones((1, 40))
    by_numpy = frechet_replicates(x, y, *draws)
    monkeypatch.setattr("evaluation.frechet_bootstrap.TORCH_IS_FASTER", 1)
    np.testing.assert_allclose(frechet_replicates(x, y, *draws), by_numpy, rtol=1e-11)
    np.testing.assert_allclose(by_numpy, [frechet_value(x, y)], rtol=1e-9)


def test_a_replicate_that_does_not_span_the_features_is_still_exact():
    """One feature is constant among the rows drawn, so that a covariance has no Cholesky factor."""
    x, y = decaying(1, 40, 5), decaying(2, 40, 5)
    x[:20, 0] = 1.0
    draws = np.repeat([[2.0, 0.0]], 20, axis=1), np.ones((1, 40))
    rows = np.repeat(x, draws[0][0].astype(int), axis=0)
    np.testing.assert_allclose(frechet_replicates(x, y, *draws), [by_singular_values(rows, y)], rtol=1e-7)


@pytest.mark.parametrize(("n", "m", "d"), [(30, 40, 12), (14, 12, 30), (10, 60, 25)])
def test_the_influence_is_the_derivative(n, m, d):
    x, y = decaying(1, n, d), decaying(2, m, d, 1.2)
    influence = frechet_influence(x, y)
    assert influence.point == pytest.approx(frechet_value(x, y), rel=1e-12)
    for side, row in (("real", 0), ("real", n - 1), ("generated", 3)):
        step = 1e-5
        ends = [weighted_distance(x, y, side, row, sign * step) for sign in (1, -1)]
        assert getattr(influence, side)[row] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)


def weighted_distance(x, y, side, row, step):
    """Evaluate the distance where one row's weight moves from 1/n towards 1."""
    parts = []
    for name, rows in (("real", x), ("generated", y)):
        weights = np.full(len(rows), 1 / len(rows))
        if name == side:
            weights *= 1 - step
            weights[row] += step
        mean = weights @ rows
        parts.append((mean, np.sqrt(weights * len(rows) / (len(rows) - 1))[:, None] * (rows - mean)))
    (mean_x, a), (mean_y, b) = parts
    root = scipy.linalg.svdvals(a @ b.T).sum()
    return ((mean_x - mean_y) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * root


@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_the_influence_of_each_side_sums_to_zero(n, m, d):
    influence = frechet_influence(decaying(1, n, d), decaying(2, m, d, 1.2))
    assert abs(influence.real.sum()) < 1e-10 * np.abs(influence.real).sum()
    assert abs(influence.generated.sum()) < 1e-10 * np.abs(influence.generated).sum()


def test_the_two_errors_agree_where_n_is_large(make_features):
    real, generated = make_features(1, 400, 6, per_patient=4), make_features(2, 300, 6, noise=0.5)
    influence = frechet_distance(real, generated)
    bootstrap = frechet_distance(real, generated, interval="bootstrap", replicates=600)
    assert bootstrap.point == influence.point
    widths = [result.high - result.low for result in (influence, bootstrap)]
    assert widths[0] == pytest.approx(widths[1], rel=0.15)  # 600 replicates put the sd within 6 %


def test_the_percentile_form_lies_above_the_point_and_says_so(make_features):
    real, generated = make_features(1, 60, 40), make_features(2, 60, 40)
    result = frechet_distance(real, generated, interval="percentile (does not cover)", replicates=100)
    assert result.low > result.point
    assert "DOES NOT COVER" in result.interval


def test_likeness_within_patients_widens_the_interval(make_features):
    rows = np.repeat(make_features(1, 20, 6).rows, 5, axis=0) + 0.01 * make_features(2, 100, 6).rows
    generated = make_features(3, 100, 6, noise=1.0)
    apart, together = (FeatureSet(rows, np.arange(100) // size, "toy") for size in (1, 5))
    wide, narrow = (frechet_distance(real, generated) for real in (together, apart))
    assert wide.point == narrow.point
    assert wide.high - wide.low > 1.4 * (narrow.high - narrow.low)


def test_the_result_names_its_target_extractor_and_bias(make_features):
    result = frechet_distance(make_features(1, 10, 30, per_patient=2), make_features(2, 12, 30))
    assert result.name == "fd_toy"
    assert result.interval.startswith("FD at this n")
    assert "10 images do not span 30 features" in result.note
    assert result.n == {"real": 10, "generated": 12, "real_patients": 5, "generated_groups": 12}


def test_too_few_rows_and_unknown_intervals_are_refused(make_features):
    with pytest.raises(ValueError, match="2 rows"):
        frechet_distance(make_features(1, 1), make_features(2))
    with pytest.raises((ValueError, TypeError), match="interval"):
        frechet_distance(make_features(1), make_features(2), interval="naive")
