"""Leaving a patient out by algebra is leaving the patient out."""

import numpy as np
import pytest

from evaluation.leverage import left_out_leverages


def leave_out(rows, index, y):
    """Return the same leverages from the sum of squares of everyone else, patient by patient."""
    centered = rows - rows.mean(0)
    found = np.empty(len(rows))
    for patient in np.unique(index):
        mine, others = centered[index == patient], rows[index != patient]
        apart = others - others.mean(0)
        ridge = np.linalg.inv(np.eye(rows.shape[1]) / y + apart.T @ apart)
        own_mean = np.eye(len(mine)) + 1 / len(others)  # the mean, too, is estimated without the patient
        found[index == patient] = np.diag(mine @ ridge @ mine.T @ own_mean)
    return found


@pytest.mark.parametrize("index", [np.arange(12), np.arange(12) // 3, np.array([0] * 5 + [1] * 2 + [2] * 5)])
def test_leverages_are_those_of_a_sample_without_the_patient(index):
    rows = np.random.default_rng(0).standard_normal((12, 4)) + 3
    basis, values, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    y = np.array([0.01, 1.0, 50.0])
    weights = y[:, None] * values**2 / (1 + y[:, None] * values**2)
    expected = np.stack([leave_out(rows, index, each) for each in y])
    np.testing.assert_allclose(left_out_leverages(basis, weights, index), expected, rtol=1e-9)
