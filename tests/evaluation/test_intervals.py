import numpy as np
import pytest
from scipy import stats

from evaluation.intervals import (
    StandardError,
    cluster_error,
    combine_errors,
    mean_interval,
    proportion_interval,
    resample_patients,
    symmetric_interval,
)


def test_cluster_error_of_single_rows_is_the_textbook_error():
    scores = np.random.default_rng(0).standard_normal(30)
    error = cluster_error(scores, np.arange(30))
    assert error.value == pytest.approx(stats.sem(scores), rel=1e-12)
    assert error.freedom == 29


def test_copies_of_a_row_add_no_information():
    scores = np.random.default_rng(0).standard_normal(10)
    once = cluster_error(scores, np.arange(10))
    thrice = cluster_error(np.repeat(scores, 3), np.repeat(np.arange(10), 3))
    assert thrice.value == pytest.approx(once.value, rel=1e-12)


def test_errors_add_as_squares_and_freedom_follows_welch():
    both = combine_errors(StandardError(3.0, 4.0), StandardError(4.0, 9.0))
    assert both.value == pytest.approx(5.0)
    assert both.freedom == pytest.approx(625 / (81 / 4 + 256 / 9))


def test_symmetric_interval_is_students():
    limits = symmetric_interval(2.0, StandardError(1.5, 7.0), level=0.9, method="")
    assert limits.high == pytest.approx(2 + 1.5 * stats.t.ppf(0.95, 7))
    assert limits.low == pytest.approx(2 - 1.5 * stats.t.ppf(0.95, 7))


def test_a_resample_keeps_patients_whole():
    groups = np.array([5, 5, 5, 2, 9, 9])
    draws = resample_patients(groups, replicates=200, generator=np.random.default_rng(0))
    assert (draws[:, 0] == draws[:, 1]).all()
    assert (draws[:, 0] == draws[:, 2]).all()
    assert (draws[:, 4] == draws[:, 5]).all()
    assert (draws[:, [0, 3, 4]].sum(1) == 3).all(), "as many patients are drawn as there are"
    assert draws[:, 3].mean() == pytest.approx(1, abs=0.2)


def test_one_patient_is_refused():
    with pytest.raises(ValueError, match="at least 2 patients"):
        mean_interval(np.arange(4.0), np.zeros(4, dtype=np.int64))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_outside_zero_and_one_is_refused(level):
    with pytest.raises(ValueError, match="level"):
        mean_interval(np.arange(4.0), np.arange(4), level=level)


@pytest.mark.parametrize("method", ["percentile", "normal"])
def test_the_mean_interval_follows_its_seed(method):
    scores, groups = np.random.default_rng(0).standard_normal(40), np.arange(40) // 4
    again = [mean_interval(scores, groups, method=method, seed=seed) for seed in (0, 0, 1)]
    assert again[0] == again[1] != again[2]


@pytest.mark.parametrize("method", ["percentile", "normal"])
def test_the_mean_interval_covers_where_slices_hang_together(method):
    """With 12 patients x 8 slices and strong likeness, counting slices as independent covers about half."""
    covered, naive, trials = 0, 0, 300
    for trial in range(trials):
        generator = np.random.default_rng(trial)
        scores = np.repeat(generator.standard_normal(12), 8) + 0.6 * generator.standard_normal(96)
        limits = mean_interval(scores, np.arange(96) // 8, method=method, replicates=400, seed=trial)
        alone = mean_interval(scores, np.arange(96), method=method, replicates=400, seed=trial)
        covered += limits.low <= 0 <= limits.high
        naive += alone.low <= 0 <= alone.high
    assert 0.91 <= covered / trials <= 0.985, "300 trials put 95 % within 2.5 points"
    assert naive / trials < 0.75


def test_with_few_patients_the_normal_form_has_students_width():
    scores = np.random.default_rng(0).standard_normal(6)
    limits = mean_interval(scores, np.arange(6), method="normal", replicates=40_000)
    reach = stats.t.ppf(0.975, 5) * stats.sem(scores)
    assert limits.high - limits.low == pytest.approx(2 * reach, rel=0.02)  # 40 000 replicates: 0.4 % on the sd


def test_wilson_of_single_rows_is_wilsons():
    hits = np.array([1.0] * 7 + [0.0] * 13)
    limits = proportion_interval(hits, np.arange(20))
    z, n, p = stats.t.ppf(0.975, 19), min(20, 7 / 20 * 13 / 20 / cluster_error(hits, np.arange(20)).value ** 2), 7 / 20
    roots = np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2])  # the ends solve (p - x)^2 = z^2 x (1 - x) / n
    assert [limits.low, limits.high] == pytest.approx(sorted(roots))


def test_a_share_of_one_keeps_an_interval_that_counts_patients():
    few = proportion_interval(np.ones(50), np.arange(50) // 10)
    many = proportion_interval(np.ones(50), np.arange(50))
    assert few == proportion_interval(np.ones(5), np.arange(5))
    assert few.high == many.high == 1
    assert few.low < many.low < 1
