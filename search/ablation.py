"""The table of a study, from nothing but what the tracker holds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation import METRICS, MetricResult, Table, describe_results, format_interval, rank_agreement
from evaluation.intervals import StandardError, combine_errors, symmetric_interval
from evaluation.report import ARROWS
from sbldm.errors import RunError
from sbldm.files import atomic_write
from search.inspect import FORMATS
from search.study import Study
from search.tracking import Artifact, MlflowStore, RunRecord

YARDSTICKS = {
    "floor": "real against real (floor)",
    "reconstruction": "reconstructions",
    "untrained": "untrained network",
}
SHOWN = ("eval/fd_", "eval/kid_", "eval/precision_", "eval/recall_")
NOT_DISTINGUISHABLE = "not distinguishable from baseline"
Runs = Sequence[tuple[RunRecord, dict[str, MetricResult]]]


@dataclass(frozen=True)
class Row:
    """One setting: its metrics over seeds, and what it cost."""

    label: str
    results: dict[str, MetricResult]
    verdict: str
    costs: dict[str, float]
    seeds: int


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

    def table(self) -> Table:
        """Return the words that are printed."""
        first = next(iter(self.rows)).results
        header = [f"{name} {ARROWS[result.direction]}" for name, result in first.items()]
        costs = ["alpha_bar_T", "train s", "s/image", "calls", "seeds"]
        body = [self._cells(row) for row in self.rows]
        dashes = ["—"] * (len(first) + len(costs))
        for name, result in self.yardsticks.items():
            body.append((YARDSTICKS[name], format_interval(result), *dashes))
        lead = next(iter(first))
        return Table(
            title=f"Study {self.study}: {self.question}",
            header=("setting", *header, *costs, f"{lead} against baseline"),
            rows=tuple((row[0], *row[1:]) for row in body),
            caption=self._caption(),
        )

    def _cells(self, row: Row) -> tuple[str, ...]:
        label = f"{row.label} (baseline)" if row.label == self.baseline else row.label
        costs = [f"{row.costs[name]:.3g}" for name in COSTS]
        return (label, *(format_interval(each) for each in row.results.values()), *costs, str(row.seeds), row.verdict)

    def _reconstruction(self) -> str:
        return ", ".join(f"{each.name} {format_interval(each)}" for each in self.reconstruction)

    def _caption(self) -> str:
        return (
            f"{describe_results(list(self.rows[0].results.values()))} Means over seeds;"
            f" all seeds share one autoencoder (its reconstructions of test patients: {self._reconstruction()})."
            " The last column is the mean difference to the baseline over shared seeds; its interval treats the two"
            " sampling errors as independent, which is cautious, since both are compared with the same real slices."
            " A distance at this n is biased upwards alike in all rows: compare rows, not tables."
            f"{' ' if self.agreement else ''}{self.agreement}"
        )


COSTS = ("schedule/alpha_bar_T", "cost/train_seconds", "cost/seconds_per_image", "cost/network_calls")


def tabulate(study: Study, name: str, store: MlflowStore) -> AblationTable:
    """Return the ablation of all finished trials of a study.

    Raises:
        RunError: none has finished.
    """
    runs = [
        (run, store.results(run.run_id)) for run in store.runs(study=name, kind="trial") if run.status == "FINISHED"
    ]
    if not runs:
        raise RunError(f"study {name!r} has no finished trial; run `sbldm search --study {study.name}` first")
    by_cell = {
        cell.label: [pair for pair in runs if pair[0].tags["sbldm.cell"] == cell.label] for cell in study.cells()
    }
    base = by_cell.get(study.baseline, [])
    rows = tuple(_row(label, pairs, base) for label, pairs in by_cell.items() if pairs)
    rebuilt = tuple(each for key, each in runs[0][1].items() if key.startswith("reconstruction/") and "/fd_" not in key)
    agreement = _agreement({label: pairs for label, pairs in by_cell.items() if pairs})
    return AblationTable(name, study.question, study.baseline, rows, _yardsticks(runs[0][1]), rebuilt, agreement)


def _agreement(by_cell: Mapping[str, Runs]) -> str:
    """Say whether two extractors order the settings alike by their Frechet distance; nothing with one extractor."""
    keys = [key for key in next(iter(by_cell.values()))[0][1] if key.startswith("eval/fd_")]
    if len(keys) < 2:
        return ""
    found = {
        label: {key.removeprefix("eval/fd_"): over_seeds([results[key] for _, results in pairs]) for key in keys}
        for label, pairs in by_cell.items()
    }
    return rank_agreement(found, *(key.removeprefix("eval/fd_") for key in keys)).words


def _row(label: str, pairs: Runs, base: Runs) -> Row:
    lead = next(key for key in pairs[0][1] if key.startswith("eval/fd_"))
    extractor = pairs[0][1][lead].extractor
    names = [key for key, result in pairs[0][1].items() if key.startswith(SHOWN) and result.extractor == extractor]
    results = {key.removeprefix("eval/"): over_seeds([results[key] for _, results in pairs]) for key in names}
    costs = {name: float(np.mean([run.metrics[name] for run, _ in pairs])) for name in COSTS}
    verdict = "" if pairs is base or not base else _verdict(_by_seed(pairs, lead), _by_seed(base, lead))
    return Row(label, results, verdict, costs, len(pairs))


def log_table(ablation: AblationTable, home: Path, store: MlflowStore) -> tuple[Path, ...]:
    """Write the table in every format beside the best trial's pictures, and keep it with the study's own run."""
    folder, table = home / "tables" / ablation.study, ablation.table()
    paths = []
    for ending, write in FORMATS.items():
        path = folder / f"table.{'tex' if ending == 'latex' else ending}"
        atomic_write(path, write(table).encode())
        paths.append(path)
    trials = [run for run in store.runs(study=ablation.study, kind="trial") if run.status == "FINISHED"]
    lead = f"eval/{next(iter(ablation.rows[0].results))}"
    best = min(trials, key=lambda run: run.metrics.get(lead, math.inf))
    pictures = sorted(store.fetch(best.run_id, "pictures", folder).glob("*.png"))
    for run in store.runs(study=ablation.study, kind="study"):
        for path in paths:
            store.keep(run.run_id, Artifact(path, "tables"))
    return (*paths, *pictures)


def over_seeds(results: Sequence[MetricResult]) -> MetricResult:
    """Return the mean over seeds; seeds add their spread, but the patients, shared by all, do not average out.

    One seed keeps its own interval.
    """
    first = results[0]
    if len(results) == 1 or first.low is None:
        return first
    point = float(np.mean([each.point for each in results]))
    error = combine_errors(_spread([each.point for each in results]), _sampling(results))
    method = f"{first.interval}; and the spread of {len(results)} seeds"
    interval = symmetric_interval(point, error, level=first.level, method=method)
    least, most = METRICS[first.name.removesuffix(f"_{first.extractor}")].bounds
    return replace(first, point=point, low=max(interval.low, least), high=min(interval.high, most), interval=method)


def difference(mine: dict[str, MetricResult], base: dict[str, MetricResult]) -> tuple[float, float, float] | None:
    """Return the mean difference over the seeds both have, and both ends of its interval."""
    shared = sorted(mine.keys() & base.keys())
    if not shared or any(each[seed].low is None for each in (mine, base) for seed in shared):
        return None
    gaps = [mine[seed].point - base[seed].point for seed in shared]
    error = combine_errors(_sampling([mine[s] for s in shared]), _sampling([base[s] for s in shared]))
    if len(gaps) > 1:
        error = combine_errors(error, _spread(gaps))
    interval = symmetric_interval(float(np.mean(gaps)), error, level=mine[shared[0]].level, method="")
    return float(np.mean(gaps)), interval.low, interval.high


def _verdict(mine: dict[str, MetricResult], base: dict[str, MetricResult]) -> str:
    if mine and all(seed in base and base[seed].point == mine[seed].point for seed in mine):
        return "identical to baseline"
    found = difference(mine, base)
    if found is None:
        return "no shared seed"
    gap, low, high = found
    words = f"{gap:+.3g} [{low:+.3g}, {high:+.3g}]"
    if low <= 0 <= high:
        return f"{words}: {NOT_DISTINGUISHABLE}"
    direction = next(iter(mine.values())).direction
    return f"{words}: {'better' if (gap < 0) == (direction == 'lower') else 'worse'}"


def _spread(values: Sequence[float]) -> StandardError:
    return StandardError(float(np.std(values, ddof=1)) / math.sqrt(len(values)), len(values) - 1.0)


def _sampling(results: Sequence[MetricResult]) -> StandardError:
    """Return the error one seed's interval tells of, averaged over seeds in variance."""
    freedom = max(1.0, results[0].n["real_patients"] - 1.0)
    z = symmetric_interval(0.0, StandardError(1.0, freedom), level=results[0].level, method="").high
    halves = [(float(each.high or 0) - float(each.low or 0)) / 2 for each in results]
    return StandardError(float(np.sqrt(np.mean(np.square(halves)))) / z, freedom)


def _by_seed(pairs: Runs, metric: str) -> dict[str, MetricResult]:
    return {run.tags["sbldm.seed"]: results[metric] for run, results in pairs}


def _yardsticks(results: dict[str, MetricResult]) -> dict[str, MetricResult]:
    lead = next(key for key in results if key.startswith("eval/fd_")).removeprefix("eval/")
    return {kind: results[f"{kind}/{lead}"] for kind in YARDSTICKS if f"{kind}/{lead}" in results}
