from collections.abc import Mapping

from evaluation import Difference, MetricResult
from evaluation.difference import IDENTICAL
from search.ablation_table import AblationTable, Row
from search.reproduction.criterion import any_holds
from search.reproduction.e2_4_early_stop import ask_in_order
from search.reproduction.studied import ask_better, conclude


def row(label: str, point: float, gap: tuple[float, float] | None, *, calls: float = 50.0, p: float = 0.9) -> Row:
    """Return a setting whose difference to the baseline lies between both ends."""
    result = MetricResult("fd_fake", point, point - 1, point + 1, 0.95, "by hand", {}, "fake", "lower")
    difference = gap and Difference(
        "fd_fake", label, "base", sum(gap) / 2, *gap, 0.95, p, "lower", {}, "by hand", True, p_holm=p
    )
    return Row(label, {"fd_fake": result}, difference, {"cost/network_calls": calls}, 2)


def table(*rows: Row) -> AblationTable:
    return AblationTable("E2-0", "?", "base", (row("base", 100.0, None), *rows), {}, (), "")


def verdicts(ablation: AblationTable) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in ask_in_order(ablation):
        found.setdefault(each.group, []).append(each.verdict)
    return found


def test_a_hypothesis_is_supported_by_the_settings_that_are_better() -> None:
    same = Difference("fd_fake", "s", "base", 0.0, 0.0, 0.0, 0.95, 1.0, "lower", {}, IDENTICAL, True, p_holm=1.0)
    twin = Row("twin", row("x", 100.0, None).results, same, {}, 2)
    ablation = table(row("b", 90.0, (-15.0, -5.0), p=0.01), row("w", 110.0, (5.0, 15.0), p=0.01), twin)
    checks = ask_better(ablation)
    assert [(each.group, each.verdict) for each in checks] == [("b", "pass"), ("w", "fail")]
    told = conclude("it helps", checks, ablation)
    assert told[0] == "Hypothesis, it helps: supported by b. b is better than base; w is worse than base."
    assert "Holm over the 2 comparison(s) with base" in told[1]


def test_a_hypothesis_that_no_setting_supports_is_not_refuted_by_it() -> None:
    ablation = table(row("a", 99.0, (-5.0, 3.0)), row("c", 98.0, (-6.0, 2.0)))
    checks = ask_better(ablation)
    assert any_holds(checks) == "cannot tell"
    (first, *_) = conclude("it helps", checks, ablation)
    assert first.endswith("not supported by these data. a, c are not distinguishable from base.")


def test_thresholds_are_asked_from_the_mildest_up() -> None:
    """The limits by hand: a tenth of 50 calls saved, and 5 on a distance of 100; the third would hold by itself."""
    mild = row("mild", 100.5, (-1.0, 2.0), calls=48.0)
    middle = row("middle", 103.0, (0.0, 6.0), calls=40.0)
    strong = row("strong", 101.0, (-2.0, 4.0), calls=30.0)
    assert verdicts(table(mild, middle, strong)) == {
        "mild": ["fail", "pass"],
        "middle": ["pass", "cannot tell"],
        "strong": ["pass", "cannot tell"],
    }
    found = list(ask_in_order(table(mild, strong)))
    assert verdicts(table(mild, strong))["strong"] == ["pass", "pass"]
    assert any_holds(found) == "pass"
    assert verdicts(table(row("bad", 120.0, (15.0, 25.0), calls=10.0)))["bad"] == ["pass", "fail"]
