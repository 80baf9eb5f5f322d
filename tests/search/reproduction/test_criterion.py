import json
import math

import pytest

from evaluation import Difference, MetricResult
from evaluation.difference import IDENTICAL
from search.reproduction.criterion import (
    Criterion,
    Verdict,
    all_hold,
    any_holds,
    check,
    check_claim,
    check_difference,
    check_number,
)

ABOVE, BELOW = Criterion("up", "above", 1.0), Criterion("down", "below", 1.0)


def result(point: float, low: float | None, high: float | None) -> MetricResult:
    return MetricResult("m", point, low, high, 0.95, "by hand", {"real": 3}, None, "lower")


def difference(point: float, low: float | None, high: float | None, p_holm: float | None) -> Difference:
    p = None if p_holm is None else p_holm / 2
    return Difference("fd", "a", "b", point, low, high, 0.95, p, "lower", {}, "by hand", True, p_holm=p_holm)


@pytest.mark.parametrize(
    "low, high, above, below",
    [
        (1.1, 1.3, "pass", "fail"),
        (0.7, 0.9, "fail", "pass"),
        (0.9, 1.1, "cannot tell", "cannot tell"),
        (1.0, 1.2, "cannot tell", "fail"),  # the limit itself is not kept
        (0.8, 1.0, "fail", "cannot tell"),
        (1.0, 1.0, "fail", "fail"),
        (math.nan, math.nan, "cannot tell", "cannot tell"),
    ],
)
def test_the_whole_interval_has_to_keep_the_limit(low: float, high: float, above: Verdict, below: Verdict) -> None:
    measured = result((low + high) / 2, low, high)
    assert (check(ABOVE, measured).verdict, check(BELOW, measured).verdict) == (above, below)
    gap = difference((low + high) / 2, low, high, 0.5)
    assert (check_difference(ABOVE, gap).verdict, check_difference(BELOW, gap).verdict) == (above, below)


def test_a_number_without_an_interval_is_judged_by_itself_but_an_untold_difference_is_not() -> None:
    assert check_number(BELOW, 0.9, "a clock").verdict == "pass"
    assert check_number(BELOW, 1.0, "a clock").verdict == "fail"
    assert check(ABOVE, result(1.2, None, None)).verdict == "pass"
    assert check_difference(BELOW, difference(0.5, None, None, None)).verdict == "cannot tell"


def test_a_limit_of_another_scale_is_never_kept_and_says_why() -> None:
    found = check(BELOW, result(0.1, 0.0, 0.2), withheld="another unit")
    assert (found.verdict, found.how.split(";")[0]) == ("cannot tell", "another unit")


@pytest.mark.parametrize(
    "point, low, high, p_holm, verdict",
    [
        (-2.0, -3.0, -1.0, 0.01, "pass"),
        (2.0, 1.0, 3.0, 0.01, "fail"),
        (-2.0, -3.9, -0.1, 0.08, "cannot tell"),  # its own interval would claim it, the correction does not
        (-2.0, None, None, None, "cannot tell"),
    ],
)
def test_a_claim_among_several_is_judged_after_holm(
    point: float, low: float | None, high: float | None, p_holm: float | None, verdict: Verdict
) -> None:
    assert check_claim(Criterion("gap", "below", 0.0), difference(point, low, high, p_holm)).verdict == verdict


def test_what_is_identical_to_the_baseline_is_not_better() -> None:
    same = Difference("fd", "a", "b", 0.0, 0.0, 0.0, 0.95, 1.0, "lower", {}, IDENTICAL, True, p_holm=1.0)
    assert check_claim(Criterion("gap", "below", 0.0), same).verdict == "fail"


def test_verdicts_add_up() -> None:
    kept, broken, open_ = (check_number(BELOW, value, "") for value in (0.0, 2.0, math.nan))
    told = check_number(Criterion("told", "below", 1.0, counts=False), 2.0, "")
    assert [all_hold(each) for each in ([kept, told], [kept, broken, open_], [kept, open_], [told], [])] == [
        "pass",
        "fail",
        "cannot tell",
        "cannot tell",
        "cannot tell",
    ]
    first = [check_number(BELOW, 0.0, "", group="a"), check_number(BELOW, 2.0, "", group="a")]
    other = check_number(BELOW, 0.0, "", group="b")
    assert any_holds([*first, other]) == "pass"
    assert any_holds(first) == "fail"
    assert any_holds([*first, check_number(BELOW, math.nan, "", group="b")]) == "cannot tell"
    assert any_holds([]) == "cannot tell"


def test_a_check_is_strict_json() -> None:
    told = json.loads(json.dumps(check_number(BELOW, math.nan, "x", group="g").to_json(), allow_nan=False))
    assert told == {
        "name": "down",
        "side": "below",
        "limit": 1.0,
        "counts": True,
        "point": "nan",
        "low": None,
        "high": None,
        "verdict": "cannot tell",
        "how": "x",
        "group": "g",
    }
