import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from evaluation import FeatureSet
from evaluation.closeness import FeatureNeighbors, closeness, gather_reference
from evaluation.conformal import chance_limit, discoveries, exact_interval, left_out_p_values, lower_p_values
from evaluation.copies import copies_constraint, copies_result, reference_result
from evaluation.memorization import memorization


def draw(generator, patients, slices, width=16):
    """Slices of one patient scatter by 0.6 about a center that scatters by 1: correlation 0.74."""
    centers = np.repeat(generator.standard_normal((patients, width)), slices, axis=0)
    rows = centers + 0.6 * generator.standard_normal(centers.shape)
    return FeatureSet(rows, np.repeat(np.arange(patients), slices), "toy")


def three_sets(seed, *, training=30, held_out=40, generated=100, copies=0, width=16):
    generator = np.random.default_rng(seed)
    train, unseen = draw(generator, training, 5, width), draw(generator, held_out, 5, width)
    rows = draw(generator, generated, 1, width).rows
    taken = generator.choice(len(train), copies, replace=False)
    rows[:copies] = train.rows[taken] + 0.02 * generator.standard_normal((copies, width))
    return train, unseen, FeatureSet(rows, np.arange(generated), "toy"), taken


def line(values, groups):
    return FeatureSet(np.array(values, dtype=float)[:, None], np.array(groups), "toy")


def by_hand():
    """Return an example on a line: spacing 3 at 0 and at 3, 7 at 10, 6 at 9."""
    train = line([0, 3, 9, 10], [0, 1, 2, 2])
    held_out = line([1.5, 4.5, 11, 17], [7, 7, 8, 9])
    return train, held_out, line([0.3, 3.0, 16], [0, 1, 2])


def test_an_example_on_a_line_comes_out_as_by_hand():
    # held-out ratios: 1.5/3 and 1.5/3 of patient 7; 1/7 of patient 8; 7/7 of patient 9
    # generated ratios: .3/3 = .1 below all; 0/3 = 0 below all; 6/7 above 1/7 and both 1/2
    audit = memorization(*by_hand())
    found = {pair.generated: pair for pair in audit.pairs}
    assert [found[row].train for row in range(3)] == [0, 1, 3]
    assert [found[row].train_patient for row in range(3)] == [0, 1, 2]
    assert [found[row].ratio for row in range(3)] == pytest.approx([0.1, 0, 6 / 7])
    assert [found[row].p for row in range(3)] == pytest.approx([1 / 4, 1 / 4, 3 / 4])
    assert [pair.generated for pair in audit.pairs] == [1, 0, 2], "the nearest of equal p comes first"
    assert (audit.threshold, audit.copies) == (0.25, pytest.approx(2 / 3))
    # left out in turn, against two: patient 8 is below both others (p 1/3), patient 7 above one, patient 9 above two
    assert audit.reference == pytest.approx(1 / 3)


def test_a_training_patient_is_held_against_the_others_alone():
    # 0 -> 3, spacing there without patient 0: 6; 3 -> 0, there 9 without patient 1; 9 -> 3, there 3; 10 -> 3, there 3
    reference = gather_reference(FeatureNeighbors(by_hand()[0]), *_rows(by_hand()[1]), "held-out and training")
    np.testing.assert_allclose(reference.ratio[4:], [3 / 6, 3 / 9, 6 / 3, 7 / 3])
    assert reference.groups.tolist() == [0, 0, 1, 2, 3, 4, 5, 5]


def _rows(features):
    return features.rows, features.groups


@pytest.mark.parametrize("calibration", ["held-out", "held-out and training"])
def test_without_copies_p_values_are_as_small_as_they_say_at_most(calibration):
    shares = []
    for seed in range(40):
        train, held_out, generated, _ = three_sets(seed, training=20, width=6)
        p_values = [pair.p for pair in memorization(train, held_out, generated, calibration=calibration).pairs]
        shares.append([np.mean(np.array(p_values) <= level) for level in (0.05, 0.2)])
    mean, error = np.mean(shares, axis=0), np.std(shares, axis=0) / np.sqrt(len(shares))
    assert (mean <= np.array([0.05, 0.2]) + 2 * error).all(), f"shares of small p-values: {mean} -+ {error}"
    assert (mean > [0.015, 0.12]).all(), "and the test is not blind"


def test_counting_slices_instead_of_patients_finds_copies_where_there_are_none():
    """Eight slices of each of nine patients that resemble each other count as nine, not as 72."""
    generator = np.random.default_rng(3)
    groups, naive, ours = np.repeat(np.arange(9), 8), [], []
    for _ in range(400):
        reference = generator.standard_normal(9)[groups] + 0.1 * generator.standard_normal(72)
        scores = np.sqrt(1.01) * generator.standard_normal(50)
        naive.append(np.mean((1 + (reference[None] <= scores[:, None]).sum(1)) / 73 <= 0.05))
        ours.append(np.mean(lower_p_values(scores, reference, groups) <= 0.2))
    assert np.mean(naive) > 0.07
    assert np.mean(ours) < 0.2


def test_each_patient_weighs_the_same_however_many_slices_it_has():
    reference, groups = np.array([1.0, 1.0, 1.0, 5.0]), np.array([4, 4, 4, 9])
    np.testing.assert_allclose(lower_p_values(np.array([0.0, 1.0, 9.0]), reference, groups), [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(left_out_p_values(reference, groups), [1 / 2, 1 / 2, 1 / 2, 1])


@pytest.mark.parametrize("calibration", ["held-out", "held-out and training"])
def test_a_tenth_of_copies_is_found_and_stands_first(calibration):
    train, held_out, generated, taken = three_sets(1, held_out=60, generated=200, copies=20)
    audit = memorization(train, held_out, generated, calibration=calibration)
    worst = sorted(audit.pairs[:20], key=lambda pair: pair.generated)
    assert [(pair.generated, pair.train) for pair in worst] == list(enumerate(taken.tolist()))
    assert audit.copies >= 0.1
    assert audit.interval.low < 0.1 < audit.interval.high
    assert copies_constraint(audit) > 0


def test_a_generator_without_copies_is_feasible():
    over = [copies_constraint(memorization(*three_sets(seed, held_out=12)[:3])) for seed in range(30)]
    assert np.mean(np.array(over) > 0) <= 0.05


def test_copies_are_named_when_there_are_patients_enough():
    audit = memorization(*three_sets(2, held_out=250, copies=10)[:3])
    named = [pair.generated for pair in audit.pairs if pair.named]
    assert set(named) >= set(range(10))
    assert len(named) <= 13
    assert "copies are named when at least 0.08" in audit.power()


def test_few_patients_say_that_they_cannot_name_a_copy():
    audit = memorization(*three_sets(2, held_out=6, copies=10)[:3])
    assert audit.smallest_p == pytest.approx(1 / 7)
    assert audit.threshold == pytest.approx(1 / 7)
    assert audit.named == 0
    assert audit.power() == "6 reference patients reach p = 0.14 at best, too few to name a copy: that takes 19"


def test_benjamini_and_hochberg_name_what_scipy_names():
    generator = np.random.default_rng(0)
    p_values = np.concatenate([generator.random(80), generator.random(20) / 500])
    expected = stats.false_discovery_control(p_values) <= 0.05
    np.testing.assert_array_equal(discoveries(p_values), expected)
    assert expected.sum() > 10
    assert not discoveries(np.full(5, 0.2)).any()


@pytest.mark.parametrize("hits, n", [(0, 12), (3, 40), (40, 40)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_of_a_share_is_that_of_scipy(hits, n, level):
    expected = stats.binomtest(hits, n).proportion_ci(confidence_level=level, method="exact")
    ours = exact_interval(hits, n, level=level)
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_chance_reaches_as_far_as_simulated_thresholds_do():
    """With one slice per patient, p <= 1/10 means: below the lowest of 9 uniform values."""
    lowest = np.random.default_rng(0).random((20000, 9)).min(1)
    assert np.quantile(lowest, 0.975) == pytest.approx(chance_limit(0.1, 9), abs=0.01)


def test_a_row_that_two_patients_share_is_no_copy_of_either():
    train = line([0, 0, 5, 9], [0, 1, 2, 3])
    found = closeness(FeatureNeighbors(train), np.array([[0.0], [0.1], [5.0]]))
    assert found.ratio.tolist() == [1, np.inf, 0]
    audit = memorization(train, line([0, 2, 7], [5, 6, 7]), line([0, 0.1, 5], [0, 1, 2]))
    assert all(pair.p <= 1 for pair in audit.pairs)
    assert json.dumps(audit.to_json(), allow_nan=False).count('"inf"') == 1


def test_copies_of_rows_far_from_the_origin_are_at_distance_zero(make_features):
    train = make_features(1, 40, 30, per_patient=4, offset=1e6)
    assert (closeness(FeatureNeighbors(train), train.rows).distance == 0).all()


def test_a_share_above_one_in_ratio_is_called_authentic():
    audit = memorization(line([0, 3, 9], [0, 1, 2]), line([6.5, 15, 20], [5, 6, 7]), line([20, 30, 0.1], [0, 1, 2]))
    # ratios: 11/6, 21/6, .1/3; held-out: 2.5/6, 6/6, 11/6
    assert audit.authentic == pytest.approx(2 / 3)
    assert audit.reference_authentic == pytest.approx(1 / 3)


def test_the_metric_carries_the_exact_interval_and_how_it_was_calibrated():
    audit = memorization(*three_sets(1, held_out=10, copies=10)[:3])
    result = copies_result(audit)
    assert (result.name, result.direction, result.point) == ("copies_toy", "lower", audit.copies)
    assert (result.low, result.high) == (audit.interval.low, audit.interval.high)
    assert result.n["real_patients"] == 30
    assert result.n["reference_patients"] == result.n["held_out_patients"] == 10
    assert result.note is not None
    assert "held-out patients of equal weight" in result.note
    assert reference_result(audit).point == audit.reference


def test_one_held_out_patient_is_refused():
    train, held_out, generated, _ = three_sets(1)
    alone = FeatureSet(held_out.rows, np.zeros(len(held_out), dtype=np.int64), "toy")
    with pytest.raises(ValueError, match="at least 2 held-out patients, but got 1"):
        memorization(train, alone, generated)


def test_features_of_another_extractor_are_refused():
    train, held_out, generated, _ = three_sets(1)
    with pytest.raises(ValueError, match="one extractor"):
        memorization(train, held_out, replace(generated, extractor="other"))
