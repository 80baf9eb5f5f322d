"""What an audit comes to: a metric for the tracker, and a constraint for a search."""

from evaluation.intervals import Interval
from evaluation.memorization import MemorizationAudit
from evaluation.types import MetricResult


def copies_constraint(audit: MemorizationAudit) -> float:
    """Return a number that is 0 or less where chance explains the copies, and above 0 where it does not.

    It is the lower end of the copies' share less the largest share that luck explains: the share among
    the reference patients is known no better than so many patients allow.
    """
    return audit.interval.low - audit.chance


def copies_result(audit: MemorizationAudit) -> MetricResult:
    """Return the share of copies as a metric, `copies_<space>`."""
    yardstick = (
        f"{audit.reference:.2g} [{audit.reference_interval.low:.2g}, {audit.reference_interval.high:.2g}] of slices"
        f" without copies count too, and chance explains up to {audit.chance:.2g}"
    )
    how = f"counted where p <= {audit.threshold:.2g} against {audit.calibration} patients of equal weight"
    named = f"{audit.named} named at a false discovery rate of {audit.false_discovery:g}"
    return _result(audit, audit.copies, audit.interval, f"{how}; {yardstick}; {audit.power()}; {named}")


def reference_result(audit: MemorizationAudit) -> MetricResult:
    """Return what the reference patients show, under the name of the metric that it is a yardstick for."""
    note = f"{audit.calibration} patients, each held against the others: no copies, so this much is chance"
    return _result(audit, audit.reference, audit.reference_interval, note)


def _result(audit: MemorizationAudit, point: float, interval: Interval, note: str) -> MetricResult:
    return MetricResult(
        name=f"copies_{audit.space}",
        point=point,
        low=interval.low,
        high=interval.high,
        level=audit.level,
        interval=interval.method,
        n=audit.n,
        extractor=audit.space,
        direction="lower",
        note=note,
    )
