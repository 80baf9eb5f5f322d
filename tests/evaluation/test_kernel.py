import itertools

import numpy as np
import pytest

from evaluation import FeatureSet, kernel_distance
from evaluation.kernel import kernel_influence


def kernel(a, b):
    return (a @ b / len(a) + 1) ** 3


def by_loops(real, generated):
    def within(part):
        return np.mean(
            [
                kernel(part.rows[i], part.rows[j])
                for i, j in itertools.permutations(range(len(part)), 2)
                if part.groups[i] != part.groups[j]
            ]
        )

    across = np.mean([kernel(a, b) for a in real.rows for b in generated.rows])
    return within(real) + within(generated) - 2 * across


@pytest.mark.parametrize("per_patient", [1, 3])
def test_the_value_is_the_mean_over_all_pairs_of_different_patients(make_features, per_patient):
    real, generated = make_features(1, 14, 5, per_patient=per_patient), make_features(2, 11, 5, noise=0.4)
    assert kernel_distance(real, generated).point == pytest.approx(by_loops(real, generated), rel=1e-12)


@pytest.mark.slow  # it imports torch-fidelity
def test_the_value_equals_torch_fidelitys_on_one_full_subset(make_features):
    from torch_fidelity.metric_kid import mmd2

    real, generated = make_features(1, 20, 5), make_features(2, 20, 5, noise=0.4)
    x, y = real.rows, generated.rows
    theirs = mmd2(*((a @ b.T / 5 + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))))
    assert kernel_distance(real, generated).point == pytest.approx(theirs, rel=1e-10)


def test_blocks_of_rows_change_nothing(make_features, monkeypatch):
    real, generated = make_features(1, 50, 5, per_patient=2), make_features(2, 40, 5, noise=0.4)
    whole = kernel_influence(real, generated)
    monkeypatch.setattr("evaluation.kernel.BLOCK", 7)
    parts = kernel_influence(real, generated)
    assert parts.point == pytest.approx(whole.point, rel=1e-12)
    np.testing.assert_allclose(parts.generated, whole.generated, rtol=1e-10, atol=1e-14)


def test_its_mean_over_equal_populations_is_zero_at_any_n(make_features):
    for n in (6, 24):
        values = [kernel_distance(make_features(k, n, 4), make_features(900 + k, n, 4)).point for k in range(200)]
        assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_slices_of_one_patient_do_not_raise_it(make_features):
    """With pairs inside a patient counted, ten copies of each patient would look far from the population."""
    values, counted = [], []
    for k in range(60):
        rows = np.repeat(make_features(k, 8, 4).rows, 5, axis=0)
        generated = make_features(900 + k, 40, 4)
        values.append(kernel_distance(FeatureSet(rows, np.arange(40) // 5, "toy"), generated).point)
        counted.append(kernel_distance(FeatureSet(rows, np.arange(40), "toy"), generated).point)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)
    assert np.mean(counted) > 3 * np.std(counted) / np.sqrt(60)


def test_the_influence_of_single_rows_is_the_jackknife(make_features):
    real, generated = make_features(1, 25, 4), make_features(2, 30, 4, noise=0.5)
    influence = kernel_influence(real, generated)
    rest = [
        kernel_distance(FeatureSet(np.delete(real.rows, i, 0), np.arange(24), "toy"), generated).point
        for i in range(25)
    ]
    jackknife = (len(real) - 1) * (np.mean(rest) - np.asarray(rest))
    # leaving one out divides by n - 2 where the influence divides by n - 1
    np.testing.assert_allclose(influence.real, jackknife, atol=0.12 * np.abs(jackknife).max())
