"""An ablation in words: one row per setting, what it cost, and what it differs from the baseline by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation import Difference, MetricResult, Table, describe_results, format_interval
from evaluation.report import ARROWS
from evaluation.verdict import find

YARDSTICKS = {
    "floor": "real against real (floor)",
    "reconstruction": "reconstructions",
    "untrained": "untrained network",
}
NOT_DISTINGUISHABLE = "not distinguishable from baseline"
IDENTICAL = "identical to baseline"
COSTS = {
    "schedule/alpha_bar_T": "alpha_bar_T",
    "cost/hours": "device h",
    "cost/seconds_per_image": "s/image",
    "cost/network_calls": "calls",
    "cost/peak_gib": "peak GiB",
}
NOTHING = "—"


@dataclass(frozen=True)
class Row:
    """One setting: its metrics over seeds, what it cost, and its difference to the baseline in the first metric."""

    label: str
    results: dict[str, MetricResult]
    difference: Difference | None
    costs: Mapping[str, float]
    seeds: int

    @property
    def verdict(self) -> str:
        """Return the difference in words; nothing for the baseline itself."""
        return "" if self.difference is None else describe_difference(self.difference)


@dataclass(frozen=True)
class AblationTable:
    """All settings of a study, the yardsticks below them."""

    study: str
    question: str
    baseline: str
    rows: tuple[Row, ...]
    yardsticks: dict[str, MetricResult]
    reconstruction: tuple[MetricResult, ...]
    agreement: str
    """Whether a second extractor orders the settings alike, in words."""

    @property
    def metrics(self) -> dict[str, MetricResult]:
        """Return the metrics by name as the first setting has them."""
        return self.rows[0].results

    def table(self) -> Table:
        """Return the words that are printed."""
        dashes = [NOTHING] * (len(self.metrics) + len(COSTS) + 1)
        below = [(YARDSTICKS[name], format_interval(each), *dashes, "") for name, each in self.yardsticks.items()]
        lead = next(iter(self.metrics))
        return Table(
            title=f"Study {self.study}: {self.question}",
            header=(
                "setting",
                *_heads(self.metrics),
                *COSTS.values(),
                "seeds",
                "p after Holm",
                f"{lead} against baseline",
            ),
            rows=(*(self._cells(row, self.metrics) for row in self.rows), *below),
            caption=self._caption(),
        )

    def _cells(self, row: Row, metrics: Mapping[str, MetricResult]) -> tuple[str, ...]:
        label = f"{row.label} (baseline)" if row.label == self.baseline else row.label
        shown = [format_interval(row.results[name]) if name in row.results else NOTHING for name in metrics]
        costs = [f"{row.costs[name]:.3g}" if name in row.costs else NOTHING for name in COSTS]
        p = row.difference.p_holm if row.difference else None
        return (label, *shown, *costs, str(row.seeds), NOTHING if p is None else f"{p:.2g}", row.verdict)

    def _caption(self) -> str:
        rebuilt = ", ".join(f"{each.name} {format_interval(each)}" for each in self.reconstruction)
        words = [
            describe_results(list(self.metrics.values())),
            f"Means over seeds; reconstructions of test patients: {rebuilt}." if rebuilt else "Means over seeds.",
            _how(self.rows),
            "A distance at this n is biased upwards alike in all rows: compare rows, not tables.",
            "Device hours are those of both trainings, from nothing.",
            self.agreement,
        ]
        return " ".join(part for part in words if part)


def describe_difference(difference: Difference) -> str:
    """Return a setting's difference to the baseline, and whether it is one."""
    finding = find(difference)
    if finding == "identical":
        return IDENTICAL
    if difference.p is None or difference.low is None or difference.high is None:
        gap = "" if difference.n.get("seeds") == 0 else f"{difference.point:+.3g}: "
        return f"{gap}{difference.note}"
    words = f"{difference.point:+.3g} [{difference.low:+.3g}, {difference.high:+.3g}]"
    return f"{words}: {NOT_DISTINGUISHABLE if finding == 'no difference' else finding}"


def merge_tables(ablations: Sequence[AblationTable]) -> Table:
    """Return several studies as one table for a paper: rows grouped by study, metrics that any study has.

    Raises:
        ValueError: no study is given, or two lead with different metrics, whose differences share no column.
    """
    leads = list(dict.fromkeys(next(iter(each.metrics)) for each in ablations))
    if len(leads) != 1:
        raise ValueError(f"studies in one table must lead with one metric, but got {leads}")
    metrics = {name: result for each in reversed(ablations) for name, result in each.metrics.items()}
    rows = [(each.study, *each._cells(row, metrics)) for each in ablations for row in each.rows]
    captions = [f"{each.study}: {each.question} {_how(each.rows)}".strip() for each in ablations]
    return Table(
        title=f"Studies {', '.join(each.study for each in ablations)}",
        header=(
            "study",
            "setting",
            *_heads(metrics),
            *COSTS.values(),
            "seeds",
            "p after Holm",
            f"{leads[0]} against baseline",
        ),
        rows=tuple(rows),
        caption=" ".join([describe_results(list(metrics.values())), "p holds together within each study.", *captions]),
    )


def _heads(metrics: Mapping[str, MetricResult]) -> list[str]:
    return [f"{name} {ARROWS[result.direction]}" for name, result in metrics.items()]


def _how(rows: Sequence[Row]) -> str:
    """Say how the differences were made; what settings share is said once."""
    tested = [row.difference for row in rows if row.difference and row.difference.p is not None]
    methods = dict.fromkeys(each.interval for each in tested if not each.is_identical)
    if not methods:
        return ""
    level = f"{100 * tested[0].level:g} %"
    return (
        f"Differences to the baseline with their {level} interval: {'; '.join(methods)}."
        f" A setting is better or worse only where p, after Holm over this study's settings, is below"
        f" {1 - tested[0].level:.2g}."
    )
