"""What a search has found: the settings that none beats in everything, from nothing but what the tracker holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from evaluation import Table, format_interval
from evaluation.types import MetricResult
from sbldm.errors import RunError
from search.open_study import OpenStudy, find_number
from search.space import label_draw
from search.tracking import MlflowStore, RunRecord, Tags

DRAW = "draw.json"
DRAWN, OUTCOME, REASON = "sbldm.draw", "sbldm.outcome", "sbldm.reason"
TESTED = "eval/fd"
NOTHING = "—"
Outcome = Literal["complete", "pruned"]


@dataclass(frozen=True)
class Tried:
    """One draw of a search and what it came to, each number a mean over its seeds, each constraint the worst of them.

    Attributes:
        params: as the tuner knows them, by dotted path; a choice by its label.
        values: of the objectives, in the order of the study.
        constraints: kept where none is above 0.
        results: the objectives that have an interval, of one seed.
        tested: Frechet distance to the test patients, by which nothing is chosen.
    """

    label: str
    params: dict[str, float | int | str]
    values: tuple[float, ...]
    constraints: tuple[float, ...]
    results: dict[str, MetricResult]
    tested: float | None = None

    @property
    def is_feasible(self) -> bool:
        """Say whether the draw keeps every constraint."""
        return all(each <= 0 for each in self.constraints)


def find_front(tried: Sequence[Tried], study: OpenStudy) -> tuple[Tried, ...]:
    """Return the feasible draws that no other feasible one equals in all objectives and beats in one, best first.

    The order is by the first objective.
    """
    signs = [1 if goal == "minimize" else -1 for goal in study.objectives.values()]
    costs = {
        id(each): tuple(sign * value for sign, value in zip(signs, each.values, strict=True))
        for each in tried
        if each.is_feasible
    }
    kept = [each for each in tried if id(each) in costs]
    front = [each for each in kept if not any(_beats(costs[id(other)], costs[id(each)]) for other in kept)]
    return tuple(sorted(front, key=lambda each: costs[id(each)]))


def mark_draw(store: MlflowStore, run_ids: Sequence[str], outcome: Outcome, reason: str = "") -> None:
    """Say on all runs of a draw how it ended, so that an unfinished draw is not taken for a whole one."""
    for run_id in run_ids:
        store.keep(run_id, Tags({OUTCOME: outcome, **({REASON: reason} if reason else {})}))


def recall_tried(study: OpenStudy, name: str, store: MlflowStore) -> tuple[Tried, ...]:
    """Return every complete draw of a search, in the order they were drawn.

    Raises:
        RunError: none is complete.
    """
    draws: dict[str, list[RunRecord]] = {}
    for run in store.runs(study=name, kind="trial"):
        if run.tags.get(OUTCOME) == "complete":
            draws.setdefault(run.tags[DRAWN], []).append(run)
    if not draws:
        raise RunError(f"study {name!r} has no finished trial; run `sbldm search --study {study.name}` first")
    return tuple(_recall(study, draws[key], store) for key in sorted(draws, key=_order))


def recall_pruned(name: str, store: MlflowStore) -> tuple[tuple[str, str], ...]:
    """Return the label of each draw that was found hopeless, and why."""
    found = {
        run.tags[DRAWN]: (run.tags["sbldm.cell"], run.tags.get(REASON, ""))
        for run in store.runs(study=name, kind="trial")
        if run.tags.get(OUTCOME) == "pruned"
    }
    return tuple(found[key] for key in sorted(found, key=_order))


def front_table(tried: Sequence[Tried], study: OpenStudy, name: str, pruned: Sequence[tuple[str, str]] = ()) -> Table:
    """Return all draws: first the front, then what others beat, what breaks a constraint, what was stopped early."""
    front = find_front(tried, study)
    rest = [each for each in tried if each not in front]
    ordered = [*front, *sorted(rest, key=lambda each: (not each.is_feasible, each.values))]
    goals = [f"{path} {'↓' if goal == 'minimize' else '↑'}" for path, goal in study.objectives.items()]
    rows = tuple((each.label, *_values(each, study), _place(each, front)) for each in ordered)
    gap = (NOTHING,) * (len(goals) + 1 + len(study.constraints))
    rows += tuple((label, *gap, f"stopped early: {reason}") for label, reason in pruned)
    broken = sum(not each.is_feasible for each in tried)
    return Table(
        title=f"Study {name}: {study.question}",
        header=("setting", *goals, f"{TESTED} (not chosen by)", *study.constraints, "place"),
        rows=rows,
        caption=(
            f"{len(tried)} draws by {study.sampler}; {len(front)} on the front, {broken} break a constraint (above 0)"
            f"{f', {len(pruned)} stopped early' if pruned else ''}."
            " The front is picked by its objectives, which are therefore too good; test patients had no part in the"
            " choice, but the samples are the same: run its settings anew with other seeds before any claim."
            " An interval is of one setting alone, without the choice among many."
        ),
    )


def _values(each: Tried, study: OpenStudy) -> tuple[str, ...]:
    shown = [
        format_interval(each.results[path]) if path in each.results else f"{value:.4g}"
        for path, value in zip(study.objectives, each.values, strict=True)
    ]
    tested = NOTHING if each.tested is None else f"{each.tested:.4g}"
    return (*shown, tested, *(f"{value:+.2g}" for value in each.constraints))


def _recall(study: OpenStudy, runs: Sequence[RunRecord], store: MlflowStore) -> Tried:
    drawn, measured = store.document(runs[0].run_id, DRAW), [store.results(run.run_id) for run in runs]
    numbers = [
        {key: each.point for key, each in results.items()} | run.metrics
        for run, results in zip(runs, measured, strict=True)
    ]
    tested = [find_number(TESTED, each) for each in numbers if any(_names(TESTED, key) for key in each)]
    intervals = {name: each for name in study.objectives for key, each in measured[0].items() if _names(name, key)}
    return Tried(
        label=label_draw(drawn["changes"]),
        params=drawn["params"],
        values=tuple(fmean(find_number(name, each) for each in numbers) for name in study.objectives),
        constraints=tuple(max(find_number(name, each) for each in numbers) for name in study.constraints),
        results=intervals if len(runs) == 1 else {},
        tested=fmean(tested) if tested else None,
    )


def _order(key: str) -> int:
    return int(key.rpartition("-")[2])


def _place(each: Tried, front: Sequence[Tried]) -> str:
    if not each.is_feasible:
        return "breaks a constraint"
    return "front" if each in front else NOTHING


def _beats(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


def _names(objective: str, key: str) -> bool:
    return key == objective or key.startswith(f"{objective}_")
