import numpy as np
import pytest
from scipy import stats

from evaluation.segmentation.crossed import crossed_mean

RUNS = 1000


def simulate(
    patients: int, seeds: int, spreads: tuple[float, float, float], random: np.random.Generator, mean: float = 0.0
) -> np.ndarray:
    of_patients, of_seeds, rest = spreads
    return (
        mean
        + of_patients * random.standard_normal((patients, 1))
        + of_seeds * random.standard_normal((1, seeds))
        + rest * random.standard_normal((patients, seeds))
    )


def test_mean_squares_combine_as_by_hand() -> None:
    """Rows 1, 2; columns differ by 2; no rest: MS_patients = 2 x .5, MS_seeds = 2 x 2, their sum over 4 cells."""
    found = crossed_mean(np.array([[0.0, 2.0], [1.0, 3.0]]))
    assert (found.point, found.patients, found.seeds) == (1.5, 2, 2)
    assert found.error == pytest.approx(np.sqrt((1.0 + 4.0) / 4))
    assert found.degrees == pytest.approx(25 / (1 + 16))


def test_without_effect_of_seeds_many_seeds_leave_the_t_test_over_patients() -> None:
    rows = np.random.default_rng(0).standard_normal(12)
    found = crossed_mean(np.repeat(rows[:, None], 5, axis=1))
    low, high = stats.t.interval(0.95, 11, rows.mean(), stats.sem(rows))
    assert found.interval(0.95) == pytest.approx((low, high))
    assert found.p_value() == pytest.approx(stats.ttest_1samp(rows, 0).pvalue)


def test_patients_with_a_gap_are_left_out_and_counted() -> None:
    values = np.array([[1.0, 2.0], [np.nan, 5.0], [3.0, 1.0]])
    found = crossed_mean(values)
    assert (found.point, found.patients, found.left_out) == (1.75, 2, 1)


@pytest.mark.parametrize("values", [np.ones((1, 3)), np.ones((3, 1)), np.full((2, 2), np.nan)])
def test_one_patient_or_one_seed_has_no_interval(values: np.ndarray) -> None:
    found = crossed_mean(values)
    assert found.interval(0.95) is None
    assert np.isnan(found.p_value())


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("patients", [10, 25, 60])
@pytest.mark.parametrize("spreads", [(0.05, 0.02, 0.03), (0.02, 0.03, 0.02), (0.05, 0.0, 0.03)])
def test_false_gains_are_no_more_than_promised(patients: int, seeds: int, spreads: tuple[float, float, float]) -> None:
    """Nominal is 5 %; the rest is chance and what Satterthwaite's formula costs at 3 seeds."""
    random = np.random.default_rng(patients * seeds)
    found = [crossed_mean(simulate(patients, seeds, spreads, random)).p_value() < 0.05 for _ in range(RUNS)]
    assert np.mean(found) <= (0.095 if seeds == 3 else 0.07)


def test_a_test_over_patients_alone_takes_lucky_trainings_for_a_gain() -> None:
    random = np.random.default_rng(0)
    tables = [simulate(25, 3, (0.02, 0.03, 0.02), random) for _ in range(RUNS // 2)]
    naive = np.mean([stats.wilcoxon(table.mean(1)).pvalue < 0.05 for table in tables])
    ours = np.mean([crossed_mean(table).p_value() < 0.05 for table in tables])
    assert naive > 0.3
    assert ours < 0.1


def test_a_gain_as_large_as_what_is_resolvable_is_found_as_often_as_promised() -> None:
    random = np.random.default_rng(1)
    spreads = (0.05, 0.01, 0.03)
    error = np.sqrt(spreads[0] ** 2 / 40 + spreads[1] ** 2 / 8 + spreads[2] ** 2 / 320)
    mean = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * error  # with the errors known, as with many degrees
    tables = [crossed_mean(simulate(40, 8, spreads, random, mean)) for _ in range(RUNS)]
    assert np.mean([each.p_value() < 0.05 for each in tables]) == pytest.approx(0.8, abs=0.06)
    assert np.median([each.resolvable(level=0.95) for each in tables]) == pytest.approx(mean, rel=0.08)
