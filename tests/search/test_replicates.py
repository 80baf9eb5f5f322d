import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evaluation import MetricResult
from evaluation.verdict import find
from search.replicates import Reference, compare_cells, over_seeds, residual_error

PATIENTS = 11
T = float(stats.t.ppf(0.975, PATIENTS - 1))  # an error of 1 reaches so far at 10 degrees of freedom
GROUPS = np.repeat(np.arange(PATIENTS), 2)


def distance(point: float, half: float | None = T, **changes: Any) -> MetricResult:
    result = MetricResult(
        name="fd_fake",
        point=point,
        low=None if half is None else point - half,
        high=None if half is None else point + half,
        level=0.95,
        interval="by hand",
        n={"real": 44, "generated": 12, "real_patients": PATIENTS, "generated_groups": 12},
        extractor="fake",
        direction="lower",
    )
    return replace(result, **changes)


def cells(points: dict[str, list[float]], half: float | None = T) -> dict[str, dict[str, MetricResult]]:
    return {label: {str(seed): distance(each, half) for seed, each in enumerate(row)} for label, row in points.items()}


def same_patients(labels: list[str], seeds: int) -> Reference:
    """All settings answer alike to every patient: only seeds make them differ."""
    same = np.linspace(-1, 1, 2 * PATIENTS)
    return Reference({label: {str(seed): same for seed in range(seeds)} for label in labels}, GROUPS)


def reach(sampling: float, points: list[float]) -> float:
    """Return the root of both half-widths' squares, by the textbook's t of each."""
    mean = sum(points) / len(points)
    spread = math.sqrt(sum((point - mean) ** 2 for point in points) / (len(points) - 1) / len(points))
    return math.hypot(sampling * T, spread * float(stats.t.ppf(0.975, len(points) - 1)))


def test_one_seed_keeps_its_own_interval() -> None:
    one = distance(12.0, 5.0)
    assert over_seeds([one]) is one


def test_seeds_that_agree_do_not_narrow_the_interval_of_the_patients_they_share() -> None:
    merged = over_seeds([distance(100.0), distance(100.0), distance(100.0)])
    assert merged.point == 100.0
    assert (merged.low, merged.high) == pytest.approx((100 - T, 100 + T))


def test_the_spread_of_seeds_adds_to_the_error_of_the_patients() -> None:
    points = [98.0, 101.0, 104.0]
    merged = over_seeds([distance(point) for point in points])
    assert merged.point == pytest.approx(101.0)
    expected = reach(1.0, points)
    assert expected > T
    assert (merged.low, merged.high) == pytest.approx((101 - expected, 101 + expected))
    assert "3 seeds" in merged.interval


def test_the_errors_of_seeds_are_averaged_in_variance() -> None:
    merged = over_seeds([distance(100.0, 1 * T), distance(100.0, 7 * T)])
    assert merged.high == pytest.approx(100 + 5 * T)  # (1 + 49) / 2 = 25


def test_a_merged_interval_stays_within_what_the_metric_can_be() -> None:
    merged = over_seeds([distance(1.0), distance(1.5)])
    assert merged.low == 0.0
    assert merged.high > 2.0


def test_a_metric_without_interval_is_not_given_one() -> None:
    assert over_seeds([distance(1.0, None), distance(2.0, None)]).low is None


def test_the_residual_of_a_full_design_is_that_of_the_textbook() -> None:
    table = np.random.default_rng(3).normal(size=(4, 3))
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    found = residual_error({str(row): {str(at): float(each) for at, each in enumerate(table[row])} for row in range(4)})
    assert found is not None
    assert found.freedom == 6
    assert found.value == pytest.approx(math.sqrt((rest**2).sum() / 6))


def test_a_setting_and_a_seed_that_shift_everything_leave_no_residual() -> None:
    points = {str(row): {str(at): 10.0 * row + 3.0 * at for at in range(3)} for row in range(3)}
    found = residual_error(points)
    assert found is not None
    assert found.value == pytest.approx(0.0, abs=1e-9)


def test_a_missing_run_costs_its_degree_of_freedom_and_a_twin_adds_none() -> None:
    rows = {"a": {"0": 1.0, "1": 4.0}, "b": {"0": 2.0, "1": 9.0}, "c": {"0": 5.0, "1": 6.0}}
    whole = residual_error(rows)
    assert whole is not None
    assert whole.freedom == 2
    assert residual_error({**rows, "twin": dict(rows["a"])}) == whole
    less = residual_error({**rows, "c": {"0": 5.0}})
    assert less is not None
    assert (less.freedom, less.value) == (1, pytest.approx(2.0))  # gaps 1 and 5: (5 - 1) / 2
    assert residual_error({"a": {"0": 1.0}, "b": {"0": 2.0}}) is None


def test_two_settings_and_two_seeds_are_a_paired_t_test() -> None:
    points = {"base": [104.0, 116.0, 109.0], "other": [110.0, 120.0, 117.0]}
    found = compare_cells(cells(points), "base", same_patients(["base", "other"], 3))["other"]
    expected = stats.ttest_rel(points["other"], points["base"])
    assert found.point == pytest.approx(6.0)
    assert found.p == pytest.approx(float(expected.pvalue))
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_more_settings_lend_their_degrees_of_freedom() -> None:
    points = {"base": [100.0, 101.0], "a": [103.0, 104.1], "b": [99.0, 100.5], "c": [101.0, 102.0]}
    found = compare_cells(cells(points), "base", same_patients(list(points), 2))["a"]
    table = np.array(list(points.values()))
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    error = math.sqrt((rest**2).sum() / 3)  # x sqrt(2 / 2 seeds)
    assert found.p == pytest.approx(float(2 * stats.t.sf(3.05 / error, 3)))
    assert found.p_holm == pytest.approx(3 * found.p)
    alone = compare_cells(
        {label: cells(points)[label] for label in ("base", "a")}, "base", same_patients(["base", "a"], 2)
    )
    assert alone["a"].p is not None
    assert alone["a"].p > found.p


def test_a_pair_less_steady_than_the_rest_keeps_its_own_spread() -> None:
    points = {"base": [0.0, 0.0, 0.0], "wild": [-20.0, 2.0, 30.0]} | {
        f"calm {at}": [0.1 * at, 0.1, -0.1 * at] for at in range(1, 9)
    }
    found = compare_cells(cells(points), "base", same_patients(list(points), 3))["wild"]
    own = float(np.std([-20, 2, 30], ddof=1)) / math.sqrt(3)
    assert found.p == pytest.approx(float(2 * stats.t.sf(4 / own, 18)))


def test_patients_that_answer_otherwise_widen_the_difference() -> None:
    points = {"base": [100.0, 102.0, 101.0], "other": [106.0, 107.0, 107.5]}
    apart = np.random.default_rng(0).normal(size=(2, 2 * PATIENTS))
    reference = Reference({label: {str(s): apart[at] for s in range(3)} for at, label in enumerate(points)}, GROUPS)
    gaps = np.array([6.0, 5.0, 6.5])
    seeds = gaps.std(ddof=1) / math.sqrt(3)
    gap = apart[1] - apart[0]
    sums = np.bincount(GROUPS, weights=gap - gap.mean())
    patients = math.sqrt(PATIENTS / (PATIENTS - 1) * (sums**2).sum()) / len(gap)
    found = compare_cells(cells(points), "base", reference)["other"]
    assert found.p == pytest.approx(float(2 * stats.t.sf(gaps.mean() / math.hypot(seeds, patients), 2)))


def test_without_features_both_sampling_errors_are_taken_as_independent() -> None:
    points = {"base": [104.0, 116.0], "other": [110.0, 120.0]}
    found = compare_cells(cells(points), "base")["other"]
    expected = math.sqrt(3) * float(stats.t.ppf(0.975, 1))  # the gaps are 6 and 4: their spread is 1
    assert (found.low, found.high) == pytest.approx((5 - expected, 5 + expected))
    assert "taken as independent" in found.interval


def test_a_difference_changes_sign_with_its_sides() -> None:
    sides = cells({"one": [110.0, 108.0], "two": [104.0, 103.0]})
    forth, back = compare_cells(sides, "two")["one"], compare_cells(sides, "one")["two"]
    assert (forth.point, forth.low, forth.high) == pytest.approx((-back.point, -back.high, -back.low))  # type: ignore[operator]


def test_one_shared_seed_cannot_tell_and_none_is_said() -> None:
    one = compare_cells({"base": {"0": distance(1.0)}, "other": {"0": distance(90.0)}}, "base")["other"]
    assert (find(one), one.point, one.note) == ("cannot tell", 89.0, "1 seed cannot tell")
    short = cells({"base": [1.0, 2.0], "third": [1.5, 2.4]}) | {"other": {"0": distance(90.0)}}
    assert find(compare_cells(short, "base")["other"]) == "cannot tell", "the others' spread is not lent to one seed"
    none = compare_cells({"base": {"0": distance(1.0)}, "other": {"1": distance(90.0)}}, "base")["other"]
    assert (find(none), none.note) == ("cannot tell", "no shared seeds cannot tell")
    assert compare_cells({"other": {"0": distance(90.0)}}, "base") == {}


def test_the_same_training_is_identical_and_is_not_counted_among_the_tests() -> None:
    points = {"base": [100.0, 101.0], "same": [100.0, 101.0], "a": [103.0, 104.5], "b": [99.0, 100.5]}
    found = compare_cells(cells(points), "base", same_patients(list(points), 2))
    assert find(found["same"]) == "identical"
    assert found["a"].p_holm == pytest.approx(2 * found["a"].p)  # type: ignore[operator]
