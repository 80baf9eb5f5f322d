"""An ablation in words: one row per setting, what it cost, and what it differs from the baseline by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation import Difference, MetricResult, Table, describe_results, format_interval
from evaluation.report import point_out
from evaluation.verdict import find
from search.budget import NOTE, Spent

YARDSTICKS = {
    "floor": "real against real (floor)",
    "reconstruction": "reconstructions",
    "untrained": "untrained network",
}
NOT_DISTINGUISHABLE = "not distinguishable from baseline"
IDENTICAL = "identical to baseline"
COSTS = {
    "schedule/alpha_bar_T": "alpha_bar_T",
    "cost/cpu_hours": "CPU h",
    "cost/gpu_hours": "GPU h",
    "cost/hours": "training h",
    "cost/seconds_per_image": "s/image",
    "cost/network_calls": "calls/image",
    "cost/peak_gib": "peak GiB",
}
BY_DEVICE = ("cost/cpu_hours", "cost/gpu_hours", "cost/hours")
"""Columns that are left out where no row has them."""
TOTAL = "all trials together"
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

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold."""
        return {
            "setting": self.label,
            "seeds": self.seeds,
            "metrics": {name: each.to_json() for name, each in self.results.items()},
            "difference": self.difference and self.difference.to_json(),
            "verdict": self.verdict,
            "costs": dict(self.costs),
        }


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
    spent: Spent = field(default_factory=Spent)
    """What all trials cost together."""
    family: str = ""
    """Over what Holm's correction runs, where that is more than this study's comparisons."""

    @property
    def metrics(self) -> dict[str, MetricResult]:
        """Return the metrics by name as the first setting has them."""
        return self.rows[0].results

    def table(self) -> Table:
        """Return the words that are printed."""
        columns = Columns.of([self])
        below = [columns.yardstick(YARDSTICKS[name], each) for name, each in self.yardsticks.items()]
        return Table(
            title=f"Study {self.study}: {self.question}",
            header=columns.header(),
            rows=(*(columns.cells(row, self.baseline) for row in self.rows), columns.total(self.spent), *below),
            caption=self._caption(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return every number that strict JSON can hold, with the verdicts in words."""
        return {
            "study": self.study,
            "question": self.question,
            "baseline": self.baseline,
            "settings": [row.to_json() for row in self.rows],
            "yardsticks": {name: each.to_json() for name, each in self.yardsticks.items()},
            "reconstruction": {each.name: each.to_json() for each in self.reconstruction},
            "agreement": self.agreement,
            "spent": self.spent.to_json(),
        }

    @property
    def compared(self) -> tuple[Difference, ...]:
        """Return the differences that were tested; identical settings test nothing."""
        found = [row.difference for row in self.rows if row.difference and row.difference.p is not None]
        return tuple(each for each in found if not each.is_identical)

    def _caption(self) -> str:
        rebuilt = ", ".join(f"{each.name} {format_interval(each)}" for each in self.reconstruction)
        words = [
            describe_results(list(self.metrics.values())),
            f"Means over seeds; reconstructions of test patients: {rebuilt}." if rebuilt else "Means over seeds.",
            describe_comparisons([self]),
            "A distance at this n is biased upwards alike in all rows: compare rows, not tables.",
            f"{NOTE} {self.spent.words()}",
            self.agreement,
        ]
        return " ".join(part for part in words if part)


@dataclass(frozen=True)
class Columns:
    """What stands beside each setting: the same for all rows of one table.

    Attributes:
        metrics: each as the first study that has it measured it.
        costs: names by key; hours of a device that no row used are left out.
    """

    metrics: Mapping[str, MetricResult]
    costs: Mapping[str, str]

    @staticmethod
    def of(ablations: Sequence[AblationTable]) -> "Columns":
        """Return the columns that these studies need together."""
        metrics = {name: result for each in reversed(ablations) for name, result in each.metrics.items()}
        known = {name for each in ablations for row in each.rows for name in row.costs}
        return Columns(metrics, {key: name for key, name in COSTS.items() if key in known or key not in BY_DEVICE})

    def header(self) -> tuple[str, ...]:
        """Return the names of all columns."""
        heads = [point_out(name, result.direction) for name, result in self.metrics.items()]
        lead = next(iter(self.metrics))
        return ("setting", *heads, *self.costs.values(), "seeds", "p after Holm", f"{lead} against baseline")

    def cells(self, row: Row, baseline: str) -> tuple[str, ...]:
        """Return one setting in words."""
        label = f"{row.label} (baseline)" if row.label == baseline else row.label
        shown = [format_interval(row.results[name]) if name in row.results else NOTHING for name in self.metrics]
        p = row.difference.p_holm if row.difference else None
        return (label, *shown, *self._amounts(row.costs), str(row.seeds), _number(p), row.verdict)

    def total(self, spent: Spent) -> tuple[str, ...]:
        """Return what all trials cost."""
        return (TOTAL, *[NOTHING] * len(self.metrics), *self._amounts(spent.totals()), NOTHING, NOTHING, "")

    def yardstick(self, label: str, result: MetricResult) -> tuple[str, ...]:
        """Return what stands below the settings, known in the first metric alone."""
        return (label, format_interval(result), *[NOTHING] * (len(self.metrics) + len(self.costs) + 1), "")

    def _amounts(self, costs: Mapping[str, float]) -> list[str]:
        return [f"{costs[name]:.3g}" if name in costs else NOTHING for name in self.costs]


def describe_comparisons(ablations: Sequence[AblationTable]) -> str:
    """Say how differences were made, and over which of them Holm's correction runs; what studies share is said once."""
    tested = [each for each in ablations if each.compared]
    if not tested:
        return ""
    methods = dict.fromkeys(difference.interval for each in tested for difference in each.compared)
    families = dict.fromkeys(
        each.family or f"the {len(each.compared)} comparison(s) with {each.baseline} within study {each.study}"
        for each in tested
    )
    level = tested[0].compared[0].level
    return (
        f"Differences to the baseline with their {100 * level:g} % interval: {'; '.join(methods)}."
        f" A setting is better or worse only where p, after Holm over {', and apart from it over '.join(families)},"
        f" is below {1 - level:.2g}."
    )


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


def _number(p: float | None) -> str:
    return NOTHING if p is None else f"{p:.2g}"
