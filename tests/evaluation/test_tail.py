"""A power law continued by a power law is itself."""

import numpy as np
import pytest
from scipy.integrate import quad

from evaluation.tail import power_tail


@pytest.mark.parametrize("steepness", [0.3, 1.0, 2.5])
def test_the_tail_of_a_power_law_is_its_integral(steepness):
    values = 3.0 * np.arange(1.0, 41) ** -steepness
    x = 1 / values[10]
    shares = x * values / (1 + x * values)
    slope = float((shares * (1 - shares)).sum())

    def integrand(log_x):
        scaled = np.exp(log_x) * values
        return (scaled / (1 + scaled)).sum() * np.exp(-log_x / 2)

    expected, _ = quad(integrand, np.log(x), np.log(x) + 60, limit=200)
    assert power_tail(float(shares.sum()), slope, float(x), 40) == pytest.approx(expected, rel=1e-6)


def test_the_whole_integral_is_pi_times_the_sum_of_roots():
    values = np.arange(1.0, 21) ** -1.0
    x = 1e-9
    shares = x * values / (1 + x * values)
    whole = power_tail(float(shares.sum()), float((shares * (1 - shares)).sum()), x, 20)
    assert whole == pytest.approx(np.pi * np.sqrt(values).sum(), rel=0.05), "level and slope coincide at small x"


def test_a_curve_that_no_power_law_meets_takes_the_nearest():
    assert np.isfinite(power_tail(5.0, 1e-6, 1.0, 40))
    assert np.isfinite(power_tail(5.0, 50.0, 1.0, 40))
