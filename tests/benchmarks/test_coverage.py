"""A small run of the coverage simulation: default intervals hold in it, percentiles of the bootstrap do not."""

import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation import FeatureSet, MetricResult

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import coverage
from populations import Population, gaussian, measured, synthetic


def verdicts(cell, trials):
    lines, failures = coverage.run_cell(cell, trials=trials, features=Path("unused"))
    return {line.split(" | ")[4]: line.split(" | ")[-1].removesuffix(" |") for line in lines}, failures


@pytest.mark.parametrize("cell", [("gaussian", 40, 16, 1), ("collapsed", 120, 16, 3)])
def test_defaults_hold_and_percentiles_fail(cell):
    found, failures = verdicts(cell, 40)
    assert failures == 0
    assert {found[name] for name in coverage.DEFAULTS} <= {"holds", "wide"}
    assert found["fd percentile"] == "FAILS"


def test_below_its_limit_the_populations_distance_is_refused():
    found, _ = verdicts(("gaussian", 40, 200, 1), 20)
    assert found["population_fd"] == "refused"


def interval(low, high):
    return MetricResult("fd", (low + high) / 2, low, high, 0.95, "by hand", {}, None, "lower")


def test_the_judge_counts_what_covers():
    results = [interval(0.0, 2.0)] * 19 + [interval(3.0, 4.0)]
    assert coverage.judge(results, 1.0)[1] == "holds", "19 of 20"
    assert coverage.judge([interval(0.0, 2.0)] * 20, 1.0)[1] == "wide"
    assert coverage.judge([interval(2.0, 3.0)] * 20, 1.0)[1] == "FAILS"


def test_the_better_of_two_collapsed_models_is_named_where_the_plug_in_names_the_worse():
    plug_in, population = coverage.run_difference(200, trials=2).split("\n")
    assert plug_in.split(" | ")[-3] == "0.00"
    assert population.split(" | ")[-3] == "1.00"


def test_laws_know_their_distance():
    """Two Gaussians by hand: shift 3-4-5, deviations 1 and 2 against 2 and 4."""
    first = gaussian(np.array([1.0, 4.0]))
    second = gaussian(np.array([4.0, 16.0]), np.array([3.0, 4.0]))
    assert Population("hand", first, second).distance == pytest.approx(25 + 1 + 4)


def test_a_measured_law_has_the_plug_in_distance_of_its_rows():
    rng = np.random.default_rng(0)
    rows, others = rng.standard_normal((40, 6)), 2 * rng.standard_normal((40, 6)) + 1
    law = measured(rows, others, np.arange(40) // 4)
    scale = 1 / np.sqrt(rows.var(0).sum())
    pair = [FeatureSet(each * scale, np.arange(40), "toy") for each in (rows, others)]
    expected = coverage.frechet_distance(*pair).point
    shift = float(((pair[0].rows.mean(0) - pair[1].rows.mean(0)) ** 2).sum())
    assert law.distance == pytest.approx(shift + (expected - shift) * 39 / 40), "a population divides by n"


def test_slices_of_one_patient_hang_together_as_said():
    real, _ = synthetic("gaussian", 8).draw(0, 20_000, 2)
    first, second = real.rows[::2, 0], real.rows[1::2, 0]
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.7, abs=0.02)
