import itertools

import numpy as np
import pytest

from evaluation.multiplicity import holm


def rejected_by_the_textbook(p_values, alpha):
    """Step down as Holm 1979 says: compare the i-th smallest with alpha / (m - i + 1), stop at the first failure."""
    rejected = set()
    for i, index in enumerate(np.argsort(p_values, kind="stable"), start=1):
        if p_values[index] > alpha / (len(p_values) - i + 1):
            break
        rejected.add(int(index))
    return rejected


def adjusted_by_the_definition(p_values, index):
    """Return the smallest level at which the textbook rejects, among the levels where its answer can change."""
    m = len(p_values)
    levels = sorted({min(1.0, p * k) for p in p_values for k in range(1, m + 1)})
    return next(
        (level for level in levels if index in rejected_by_the_textbook(p_values, level * (1 + 1e-12))), levels[-1]
    )


def test_a_worked_example():
    # 4 x 0.005, then 3 x 0.01, then 2 x 0.03 and 1 x 0.04, which may not fall below 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02), rel=1e-12)


def test_one_comparison_is_left_as_it_is_and_none_stays_none():
    assert holm([0.03]) == (0.03,)
    assert holm([]) == ()


@pytest.mark.parametrize("seed", range(5))
def test_the_adjusted_value_is_the_smallest_level_that_rejects(seed):
    p_values = [*np.random.default_rng(seed).uniform(0, 0.4, 6), 0.1, 0.1]
    adjusted = holm(p_values)
    for index, value in enumerate(adjusted):
        oracle = adjusted_by_the_definition(p_values, index)
        assert value == pytest.approx(oracle, rel=1e-9)


def test_it_neither_lowers_a_value_nor_changes_their_order_nor_depends_on_the_order_given():
    p_values = [0.2, 0.01, 0.04, 0.04, 1.0]
    for order in itertools.permutations(range(5)):
        adjusted = holm([p_values[i] for i in order])
        assert [adjusted[order.index(i)] for i in range(5)] == list(holm(p_values))
    assert all(p <= q <= 1 for p, q in zip(p_values, holm(p_values), strict=True))
    assert list(np.argsort(holm(p_values), kind="stable")) == list(np.argsort(p_values, kind="stable"))


def test_it_rejects_no_less_than_bonferroni():
    p_values = np.random.default_rng(3).uniform(0, 0.1, 7)
    assert np.all(np.array(holm(list(p_values))) <= np.minimum(1, 7 * p_values) + 1e-15)


def test_false_claims_stay_below_the_level():
    """1000 families of 6 true hypotheses, two of them copies: 5 % of families may claim something, +- 2 points."""
    generator = np.random.default_rng(0)
    families = generator.uniform(size=(1000, 6))
    families[:, 1] = families[:, 0]
    assert np.mean([min(holm(list(family))) <= 0.05 for family in families]) < 0.07


@pytest.mark.parametrize("wrong", [-0.01, 1.01, float("nan")])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match=r"\[0, 1\], but got"):
        holm([0.5, wrong])
