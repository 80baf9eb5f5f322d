import json

import pytest

from evaluation.segmentation.arms import ARMS
from evaluation.segmentation.plan import nested_fractions, plan_trainings

PATIENTS = [3, 8, 9, 20, 21, 22, 40, 41, 50, 60, 61, 62, 70, 80, 81, 90, 91, 92, 93, 94]


def test_a_smaller_fraction_lies_inside_a_larger_one():
    for seed in range(20):
        chosen = nested_fractions(PATIENTS, [1.0, 0.1, 0.5, 0.25], seed=seed)
        assert list(chosen) == [0.1, 0.25, 0.5, 1.0]
        assert [len(each) for each in chosen.values()] == [2, 5, 10, 20]
        assert set(chosen[0.1]) < set(chosen[0.25]) < set(chosen[0.5]) < set(chosen[1.0]) == set(PATIENTS)


def test_every_patient_is_as_likely_as_any_other():
    """Over 2000 seeds each of 20 patients is among the 5 of a quarter 500 times; the sd is 19.4."""
    drawn = [patient for seed in range(2000) for patient in nested_fractions(PATIENTS, [0.25], seed=seed)[0.25]]
    assert all(abs(drawn.count(patient) - 500) < 4.5 * 19.4 for patient in PATIENTS)


def test_the_order_of_listing_and_slices_of_one_patient_change_nothing():
    assert nested_fractions(PATIENTS, [0.3], seed=1) == nested_fractions([*PATIENTS[::-1], 3, 3], [0.3], seed=1)


def test_at_least_one_patient_is_left():
    assert len(nested_fractions([4, 5, 6], [0.01], seed=0)[0.01]) == 1


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fractions must lie in \(0, 1\], but got"):
        nested_fractions(PATIENTS, [fraction], seed=0)


def test_no_patients_are_refused():
    with pytest.raises(ValueError, match="at least 1 training patient"):
        nested_fractions([], [1.0], seed=0)


def test_arms_of_one_seed_and_fraction_see_the_same_patients():
    plan = plan_trainings(PATIENTS, arms=list(ARMS), fractions=[0.25, 1.0], seeds=[0, 1, 2])
    assert len(plan) == 7 * 2 * 3
    seen = {(each.seed, each.fraction): each.patients for each in plan}
    assert all(each.patients == seen[each.seed, each.fraction] for each in plan)
    assert len({seen[seed, 0.25] for seed in range(3)}) > 1


def test_the_description_tells_networks_apart_and_nothing_else():
    plan = plan_trainings(PATIENTS, arms=list(ARMS), fractions=[0.25, 1.0], seeds=[0, 1, 2])
    told = {json.dumps(each.describe(), sort_keys=True) for each in plan}
    assert len(told) == 6 * 2 * 3  # seven arms, two of which share their network


def test_an_unknown_arm_is_refused_before_any_training():
    with pytest.raises(ValueError, match="unknown arm 'reel' - did you mean 'real'"):
        plan_trainings(PATIENTS, arms=["reel"], fractions=[1.0], seeds=[0])
