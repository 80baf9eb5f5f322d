"""How many patients, samples and seeds a comparison of two settings needs, judged by runs that are there."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from evaluation import Table
from evaluation.compare import Statistic
from evaluation.distances import Distances, choose_distances
from evaluation.influence import Influence
from evaluation.power import Budget, Plan, plan
from evaluation.power_words import describe_plan, tabulate_plan
from evaluation.variances import Variances, between_seeds, variances_of, variances_of_difference
from sbldm.errors import RunError
from search.cache import Cache
from search.comparison import Choose
from search.events import Event
from search.gather import Gathered, gather, open_runs
from search.runs import OpenedRun
from search.tracking import MlflowStore


@dataclass(frozen=True)
class PlannedCounts:
    """Counts of an experiment to come; None is as many as now."""

    patients: int | None = None
    samples: int | None = None
    seeds: int | None = None

    def over(self, now: Budget) -> Budget:
        """Return the counts of now with those that are planned."""
        return replace(now, **{name: count for name, count in asdict(self).items() if count is not None})


@dataclass(frozen=True)
class PowerResult:
    """What runs say of the power to come.

    Attributes:
        subject: what is planned for, in words.
        point: its value in these runs.
        metric: whose unit all differences have.
    """

    subject: str
    metric: str
    point: float
    variances: Variances
    plan: Plan

    def sentences(self) -> tuple[str, ...]:
        """Say what is resolved and what would be needed."""
        return describe_plan(self.plan, name=self.metric)

    def table(self) -> Table:
        """Return the plan as words to be printed."""
        return tabulate_plan(self.plan, title=f"Power: {self.subject}", name=self.metric)

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold."""
        return {
            "subject": self.subject,
            "metric": self.metric,
            "point": self.point,
            "variances": asdict(self.variances),
            "plan": self.plan.to_json(),
            "sentences": list(self.sentences()),
        }


def power_of_runs(
    runs: Sequence[str | OpenedRun],
    *,
    cache: Cache,
    store: MlflowStore,
    wanted: float | None = None,
    level: float | None = None,
    power: float = 0.8,
    counts: PlannedCounts | None = None,
    metric: str | None = None,
    choose: Choose = choose_distances,
    changes: Mapping[str, Any] | None = None,
) -> Generator[Event, None, PowerResult]:
    """Plan from the runs of one setting (its value) or of two (their difference), each at one or more seeds.

    Args:
        runs: beginnings of ids, or opened runs; runs whose models differ in nothing but the seed are one setting.
        cache: of stage outputs.
        store: where the runs are tracked.
        wanted: the difference to be resolved.
        level: confidence; the first run's own by default.
        power: the chance to find a difference that is there.
        counts: other counts than those of the runs.
        metric: the distance to plan for; by default the first of those allowed.
        choose: says of the reference and all generated sets which distances they allow.
        changes: settings to change in all runs.

    Raises:
        RunError: runs that cannot be compared, three settings or more, two that share no seed, or a distance
            that no interval covers at these counts.
    """
    opened = open_runs(runs, cache=cache, store=store, changes=changes)
    settings = _settings(opened)
    gathered = yield from gather(opened, cache)
    name, statistic = _pick(metric, choose(gathered.real, *gathered.generated))
    measured = [statistic(gathered.real, each) for each in gathered.generated]
    seen = [_see(gathered, measured, indices) for indices in settings]
    variances, points = [each[0] for each in seen], [each[1] for each in seen]
    samples = len(gathered.generated[0])
    joined = between_seeds(variances, points, samples=samples) if len(seen) > 1 else variances[0]
    return PowerResult(
        subject=_subject(gathered, settings[0]),
        metric=f"{name}_{gathered.real.extractor}",
        point=float(np.mean(points)),
        variances=joined,
        plan=plan(
            joined,
            (counts or PlannedCounts()).over(Budget(gathered.real.patients, samples, len(seen))),
            wanted=wanted,
            level=opened[0].config.evaluation.level if level is None else level,
            power=power,
        ),
    )


def _pick(metric: str | None, distances: Distances) -> tuple[str, Statistic]:
    """Return the distance asked for, or the first allowed."""
    name = next(iter(distances.allowed)) if metric is None else metric
    if name in distances.refused:
        raise RunError(f"nothing can be planned for {name}: {distances.refused[name]}")
    if name not in distances.allowed:
        raise RunError(f"the metric must be one of {', '.join(distances.allowed)}, but got {metric!r}")
    return name, distances.allowed[name]


def _settings(runs: Sequence[OpenedRun]) -> list[tuple[int, ...]]:
    """Return for each seed which run, or which two, speak of it."""
    by_setting: dict[str, dict[int, int]] = {}
    for index, run in enumerate(runs):
        by_setting.setdefault(run.config.model_dump_json(exclude={"seed", "device", "evaluation"}), {})[
            run.config.seed
        ] = index
    if len(by_setting) > 2:
        raise RunError(f"a plan is for one setting or two, but these {len(runs)} runs have {len(by_setting)}")
    first, *others = by_setting.values()
    if not others:
        return [(index,) for index in first.values()]
    shared = sorted(first.keys() & others[0].keys())
    if not shared:
        raise RunError(
            f"two settings are compared seed by seed, but theirs are {sorted(first)} and {sorted(others[0])}:"
            " train both with one seed at least"
        )
    return [(others[0][seed], first[seed]) for seed in shared]


def _see(gathered: Gathered, measured: Sequence[Influence], indices: tuple[int, ...]) -> tuple[Variances, float]:
    """Return what one seed says: of a value, or of the difference of two."""
    first, *others = indices
    if not others:
        return variances_of(measured[first], gathered.real, gathered.generated[first]), measured[first].point
    (second,) = others
    variances = variances_of_difference(
        measured[first],
        measured[second],
        real=gathered.real,
        first_generated=gathered.generated[first],
        second_generated=gathered.generated[second],
        paired=gathered.share_noise(first, second),
    )
    return variances, measured[first].point - measured[second].point


def _subject(gathered: Gathered, indices: tuple[int, ...]) -> str:
    names = [gathered.labels[index] for index in indices]
    return f"{names[0]} against {names[1]}" if len(names) > 1 else f"{names[0]} alone, against a fixed value"
