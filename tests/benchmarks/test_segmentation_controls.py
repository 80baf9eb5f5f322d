"""The segmentation benchmark with its real networks: it finds what is known to help, and nothing else."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import segmentation_controls as controls
from segmentation_controls import HELD_BACK, NOISE, SHUFFLED, Laboratory, Scene

CACHED = Path(__file__).with_name("null_differences.csv")
"""Kept by ``segmentation_controls.py --keep``: Dice of 24 patients in eight pairs of trainings that differ by luck."""


@pytest.mark.slow  # 50 trainings
def test_real_patients_are_found_to_help_and_noise_and_shuffled_maps_to_harm(tmp_path: Path) -> None:
    gains = controls.ask_controls(Laboratory(Scene(), tmp_path))
    assert gains[HELD_BACK, "real+synthetic", "real duplicated"].verdict(0.95) == "better"
    assert gains[HELD_BACK, "real+synthetic", "real"].verdict(0.95) == "better"
    for name in (SHUFFLED, NOISE):
        assert gains[name, "real+synthetic", "real duplicated"].verdict(0.95) != "better"
        assert gains[name, "synthetic", "real duplicated"].verdict(0.95) == "worse"
    assert controls.answers_hold(gains)


@pytest.mark.parametrize("seeds", [3, 5])
def test_copies_of_an_arm_s_own_slices_are_called_a_gain_no_more_often_than_promised(seeds: int) -> None:
    """On cached scores, at a level of 5 %; eight pairs of trainings leave the rate uncertain by some percent."""
    rate, _ = controls.false_claims(np.loadtxt(CACHED, delimiter=","), seeds=seeds)
    assert 0.005 <= rate <= 0.09


def test_a_gain_in_every_training_is_claimed_in_most_choices_and_a_lone_one_in_none() -> None:
    """A constant gain under signs that agree is claimed; one training of three cannot carry a claim."""
    steady = np.random.default_rng(0).normal(0.1, 0.001, (20, 3))
    rate, count = controls.false_claims(steady, seeds=3)
    assert (rate, count) == (0.25, 4)  # of four patterns of signs all agree in one
    lone = np.zeros((20, 3))
    lone[:, 1] = 0.1
    assert controls.false_claims(lone, seeds=3)[0] == 0.0
