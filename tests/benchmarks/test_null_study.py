"""Whole studies, simulated: nothing is claimed where nothing is, and what is planted is found."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import null_study
from null_study import Scene


@pytest.mark.slow
@pytest.mark.parametrize("settings, seeds", [(2, 2), (5, 2), (5, 3)])
def test_an_axis_that_changes_nothing_is_not_distinguishable_in_95_of_100_studies(settings: int, seeds: int) -> None:
    rates = null_study.simulate(Scene(settings, seeds), repeats=300)
    assert rates.false_claims <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5  # two standard errors of so many repeats
    assert rates.withheld == 0


@pytest.mark.slow
def test_a_setting_less_steady_than_the_rest_is_not_called_different_for_that() -> None:
    rates = null_study.simulate(Scene(5, 3, unsteady=3.0), repeats=300)
    assert rates.false_claims <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("settings, seeds, least", [(5, 2, 0.5), (5, 3, 0.8), (2, 5, 0.8)])
def test_a_planted_effect_is_found(settings: int, seeds: int, least: float) -> None:
    rates = null_study.simulate(Scene(settings, seeds, effect=0.25), repeats=100)
    assert rates.found >= least
    assert rates.false_claims <= 0.1


def test_one_seed_claims_nothing_however_large_the_effect() -> None:
    rates = null_study.simulate(Scene(2, 1, effect=3.0), repeats=3)
    assert (rates.found, rates.withheld) == (0, 1)
