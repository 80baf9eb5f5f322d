from dataclasses import replace

import pytest

from evaluation import MetricResult
from evaluation.agreement import can_tell, rank_agreement


def result(point, reach=0.0, direction="lower"):
    low, high = (None, None) if reach is None else (point - reach, point + reach)
    return MetricResult("fd", float(point), low, high, 0.95, "toy", {}, "toy", direction)


def study(first, second, reach=0.0):
    pairs = zip(first, second, strict=True)
    return {f"v{i}": {"one": result(a, reach), "two": result(b, reach)} for i, (a, b) in enumerate(pairs)}


def test_the_same_order_has_tau_one_whatever_the_scale():
    found = rank_agreement(study([1, 2, 3, 9], [10, 400, 500, 501]), "one", "two")
    assert found.tau == pytest.approx(1)
    assert found.disagreements == ()
    assert "0 of 6 pairs" in found.words
    assert "the same order" in found.words


def test_the_reverse_order_has_tau_minus_one():
    found = rank_agreement(study([1, 2, 3], [3, 2, 1]), "one", "two")
    assert found.tau == pytest.approx(-1)
    assert len(found.disagreements) == 3
    assert "the reverse order" in found.words


def test_tau_counts_pairs_as_by_hand():
    """One pair of six turned around: (5 - 1) / 6."""
    found = rank_agreement(study([1, 2, 3, 4], [1, 2, 4, 3]), "one", "two")
    assert found.tau == pytest.approx(4 / 6)
    assert [(each.better, each.worse) for each in found.disagreements] == [("v2", "v3")]


def test_tau_b_allows_for_ties_as_by_hand():
    """Pairs: 01 tied in one; 02 and 12 alike: 2 / sqrt(2 x 3)."""
    found = rank_agreement(study([1, 1, 2], [1, 2, 3]), "one", "two")
    assert found.tau == pytest.approx(2 / 6**0.5)
    assert found.tied == 1
    assert "1 of them are tied" in found.words


def test_a_higher_precision_agrees_with_a_lower_distance():
    mixed = {
        "good": {"one": result(1.0), "two": result(0.9, direction="higher")},
        "poor": {"one": result(2.0), "two": result(0.5, direction="higher")},
    }
    assert rank_agreement(mixed, "one", "two").tau == pytest.approx(1)


@pytest.mark.parametrize(
    "reaches, sure, words",
    [
        ((0.4, 0.4), (True, True), "the answer depends on the network"),
        ((0.4, 0.6), (True, False), "only one tells them apart, the intervals of two overlap"),
        ((0.6, 0.4), (False, True), "only two tells them apart, the intervals of one overlap"),
        ((0.6, 0.6), (False, False), "no contradiction"),
        ((None, 0.4), (False, True), "only two tells them apart"),
    ],
)
def test_intervals_say_whether_a_disagreement_is_real(reaches, sure, words):
    results = {
        "a": {"one": result(1.0, reaches[0]), "two": result(2.0, reaches[1])},
        "b": {"one": result(2.0, reaches[0]), "two": result(1.0, reaches[1])},
    }
    found = rank_agreement(results, "one", "two")
    (pair,) = found.disagreements
    assert (pair.better, pair.worse) == ("a", "b")
    assert (pair.first_can_tell, pair.second_can_tell) == sure
    assert pair.is_real is all(sure)
    assert words in found.words


def test_intervals_that_touch_tell_nothing():
    assert not can_tell(result(1.0, 0.5), result(2.0, 0.5))
    assert can_tell(result(1.0, 0.49), result(2.0, 0.5))
    assert not can_tell(replace(result(1.0, 0.1), low=float("nan")), result(2.0, 0.5))


def test_variants_that_one_extractor_did_not_measure_are_left_out():
    results = study([1, 2, 3], [1, 2, 3])
    del results["v1"]["two"]
    assert rank_agreement(results, "one", "two").variants == ("v0", "v2")


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_variants_have_no_order(values):
    found = rank_agreement(study(values, values), "one", "two")
    assert found.tau is None
    assert found.words == f"{len(values)} variants measured by both one and two: there is no order to compare."


def test_one_value_for_all_has_no_order():
    found = rank_agreement(study([1, 1, 1], [1, 2, 3]), "one", "two")
    assert found.tau is None
    assert found.disagreements == ()
    assert "gives all 3 variants one value" in found.words


@pytest.mark.parametrize(
    "tau, words",
    [
        ([1, 2, 3, 4, 5], "the same"),
        ([1, 2, 4, 3, 5], "mostly"),
        ([3, 2, 1, 4, 5], "partly"),
        ([4, 5, 1, 3, 2], "partly the reverse"),
        ([2, 5, 1, 4, 3], "hardly any"),
    ],
)
def test_words_follow_tau(tau, words):
    assert words in rank_agreement(study([1, 2, 3, 4, 5], tau), "one", "two").words


def test_undefined_and_mixed_values_are_refused():
    with pytest.raises(ValueError, match="1 of two have none"):
        rank_agreement(study([1, 2], [1, float("nan")]), "one", "two")
    mixed = study([1, 2], [1, 2])
    mixed["v0"]["one"] = result(1.0, direction="higher")
    with pytest.raises(ValueError, match="of one metric"):
        rank_agreement(mixed, "one", "two")
    aimed = {name: {"one": result(1.0, direction=None), "two": result(1.0)} for name in mixed}
    with pytest.raises(ValueError, match="that is better low or high"):
        rank_agreement(aimed, "one", "two")
