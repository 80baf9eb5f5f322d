"""Pass or fail: a limit on one measured number, judged by its whole interval."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from evaluation import Difference, MetricResult
from evaluation.verdict import find

Side = Literal["above", "below"]
Verdict = Literal["pass", "fail", "cannot tell"]
RULE = (
    "A criterion passes where the whole interval keeps its limit, fails where the whole interval breaks it, and cannot"
    " be told where the limit lies inside; a number without an interval is judged by itself."
)


@dataclass(frozen=True)
class Criterion:
    """What a number has to be.

    Attributes:
        name: what is measured.
        side: where the number has to lie.
        limit: of what.
        counts: whether the experiment's verdict needs it; else it is told and no more.
    """

    name: str
    side: Side
    limit: float
    counts: bool = True

    def __str__(self) -> str:
        return f"{self.name} {'>' if self.side == 'above' else '<'} {self.limit:g}"


@dataclass(frozen=True)
class Check:
    """A criterion and what was found.

    Attributes:
        low, high: None where the number has no interval.
        how: the interval was made, and from what.
        group: of criteria that hold together, such as those of one setting.
    """

    criterion: Criterion
    point: float
    low: float | None
    high: float | None
    verdict: Verdict
    how: str
    group: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold."""
        numbers = {"point": self.point, "low": self.low, "high": self.high}
        plain = {
            name: str(value) if value is not None and math.isnan(value) else value for name, value in numbers.items()
        }
        return asdict(self.criterion) | plain | {"verdict": self.verdict, "how": self.how, "group": self.group}


def check(criterion: Criterion, result: MetricResult, *, withheld: str = "", group: str = "") -> Check:
    """Judge a measured number.

    Args:
        criterion: the limit.
        result: what was measured.
        withheld: why this number says nothing of the limit, if so.
        group: of criteria that hold together.
    """
    n = ", ".join(f"{count} {side.replace('_', ' ')}" for side, count in result.n.items())
    words = [withheld, f"{result.name}: {100 * result.level:g} % interval, {result.interval}", n, result.note or ""]
    verdict = "cannot tell" if withheld else _judge(criterion, result.point, result.low, result.high)
    how = "; ".join(each for each in words if each)
    return Check(criterion, result.point, result.low, result.high, verdict, how, group)


def check_number(criterion: Criterion, value: float, how: str, *, group: str = "") -> Check:
    """Judge a number that has no interval, as a time or a count."""
    return Check(criterion, value, None, None, _judge(criterion, value, None, None), how, group)


def check_difference(criterion: Criterion, difference: Difference, *, group: str = "") -> Check:
    """Judge a difference by its interval, against a limit that need not be zero."""
    how = difference.note or difference.interval
    if difference.low is None and not difference.is_identical:
        return Check(criterion, difference.point, None, None, "cannot tell", how, group)
    verdict = _judge(criterion, difference.point, difference.low, difference.high)
    return Check(criterion, difference.point, difference.low, difference.high, verdict, how, group)


def check_claim(criterion: Criterion, difference: Difference, *, group: str = "") -> Check:
    """Judge whether a setting is better than the baseline: by p after Holm, for several settings are asked at once."""
    words = f"{difference.note or difference.interval}; p after Holm {_number(difference.p_holm)}"
    verdicts: dict[str, Verdict] = {"better": "pass", "worse": "fail", "identical": "fail"}
    verdict = verdicts.get(find(difference), "cannot tell")
    return Check(criterion, difference.point, difference.low, difference.high, verdict, words, group)


def all_hold(checks: Sequence[Check]) -> Verdict:
    """Return fail where any counted criterion fails, pass where all pass."""
    verdicts = [each.verdict for each in checks if each.criterion.counts]
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts and all(each == "pass" for each in verdicts) else "cannot tell"


def any_holds(checks: Sequence[Check]) -> Verdict:
    """Return pass where all criteria of some group pass, fail where every group fails."""
    groups = dict.fromkeys(each.group for each in checks)
    found = [all_hold([each for each in checks if each.group == group]) for group in groups]
    if "pass" in found:
        return "pass"
    return "fail" if found and all(each == "fail" for each in found) else "cannot tell"


def _judge(criterion: Criterion, point: float, low: float | None, high: float | None) -> Verdict:
    ends = (point, point) if low is None or high is None else (low, high)
    if any(map(math.isnan, ends)):
        return "cannot tell"
    kept = [end > criterion.limit if criterion.side == "above" else end < criterion.limit for end in ends]
    return "pass" if all(kept) else "cannot tell" if any(kept) else "fail"


def _number(p: float | None) -> str:
    return "unknown" if p is None else f"{p:.2g}"
