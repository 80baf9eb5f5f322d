import pytest

from sbldm.errors import ConfigError
from search.downstream.fractions import nested_patients

PATIENTS = [3, 8, 9, 20, 21, 22, 40, 41, 50, 60, 61, 62, 70, 80, 81, 90, 91, 92, 93, 94]


def test_a_smaller_fraction_lies_inside_a_larger_one() -> None:
    for seed in range(20):
        chosen = nested_patients(PATIENTS, [1.0, 0.1, 0.5, 0.25], seed=seed)
        assert list(chosen) == [0.1, 0.25, 0.5, 1.0]
        assert [len(each) for each in chosen.values()] == [2, 5, 10, 20]
        assert set(chosen[0.1]) < set(chosen[0.25]) < set(chosen[0.5]) < set(chosen[1.0]) == set(PATIENTS)


def test_every_patient_is_as_likely_as_any_other() -> None:
    """Over 2000 seeds each of 20 patients is among the 5 of a quarter 500 times; the sd is 19.4."""
    drawn = [patient for seed in range(2000) for patient in nested_patients(PATIENTS, [0.25], seed=seed)[0.25]]
    assert all(abs(drawn.count(patient) - 500) < 4.5 * 19.4 for patient in PATIENTS)


def test_the_order_of_listing_and_slices_of_one_patient_change_nothing() -> None:
    assert nested_patients(PATIENTS, [0.3], seed=1) == nested_patients([*PATIENTS[::-1], 3, 3], [0.3], seed=1)


def test_another_seed_deals_other_patients() -> None:
    deals = {nested_patients(range(40), [0.1], seed=seed)[0.1] for seed in range(5)}
    assert len(deals) == 5


def test_a_fraction_that_leaves_one_patient_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must leave 2 patients or more, but 0\.1 of 10 is 1; raise the fraction"):
        nested_patients(PATIENTS[:10], [0.1], seed=0)
