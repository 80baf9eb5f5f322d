"""What a search has found: the settings that none beats in everything, from nothing but what the tracker holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation import Table, format_interval
from evaluation.types import MetricResult
from sbldm.errors import RunError
from search.open_study import OpenStudy
from search.space import label_draw
from search.tracking import MlflowStore

DRAW = "draw.json"
NOTHING = "—"


@dataclass(frozen=True)
class Tried:
    """One draw of a search and what it came to, each number a mean over its seeds, each constraint the worst of them.

    Attributes:
        params: as the tuner knows them, by dotted path; a choice by its label.
        values: of the objectives, in the order of the study.
        constraints: kept where none is above 0.
        results: the objectives that have an interval, of one seed.
    """

    label: str
    params: dict[str, float | int | str]
    values: tuple[float, ...]
    constraints: tuple[float, ...]
    results: dict[str, MetricResult]

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


def recall_tried(study: OpenStudy, name: str, store: MlflowStore) -> tuple[Tried, ...]:
    """Return every finished draw of a search.

    Raises:
        RunError: none has finished.
    """
    runs = [run for run in store.runs(study=name, kind="trial") if run.status == "FINISHED"]
    if not runs:
        raise RunError(f"study {name!r} has no finished trial; run `sbldm search --study {study.name}` first")
    found = []
    for run in runs:
        drawn = store.document(run.run_id, DRAW)
        measured = store.results(run.run_id)
        results = {name: each for name in study.objectives for key, each in measured.items() if _names(name, key)}
        found.append(
            Tried(
                label=label_draw(drawn["changes"]),
                params=drawn["params"],
                values=tuple(map(float, drawn["values"])),
                constraints=tuple(map(float, drawn["constraints"])),
                results=results if int(drawn["seeds"]) == 1 else {},
            )
        )
    return tuple(found)


def front_table(tried: Sequence[Tried], study: OpenStudy, name: str) -> Table:
    """Return all draws: the front first, then what others beat, then what breaks a constraint."""
    front = find_front(tried, study)
    rest = [each for each in tried if each not in front]
    ordered = [*front, *sorted(rest, key=lambda each: (not each.is_feasible, each.values))]
    goals = [f"{path} {'↓' if goal == 'minimize' else '↑'}" for path, goal in study.objectives.items()]
    rows = tuple((each.label, *_values(each, study), _place(each, front)) for each in ordered)
    broken = sum(not each.is_feasible for each in tried)
    return Table(
        title=f"Study {name}: {study.question}",
        header=("setting", *goals, *study.constraints, "place"),
        rows=rows,
        caption=(
            f"{len(tried)} draws by {study.sampler}; {len(front)} on the front, {broken} break a constraint (above 0)."
            " The front is picked by the numbers it shows, which are therefore too good: run its settings anew with"
            " other seeds before any claim. An interval is of one setting alone, without the choice among many."
        ),
    )


def _values(each: Tried, study: OpenStudy) -> tuple[str, ...]:
    shown = [
        format_interval(each.results[path]) if path in each.results else f"{value:.4g}"
        for path, value in zip(study.objectives, each.values, strict=True)
    ]
    return (*shown, *(f"{value:+.2g}" for value in each.constraints))


def _place(each: Tried, front: Sequence[Tried]) -> str:
    if not each.is_feasible:
        return "breaks a constraint"
    return "front" if each in front else NOTHING


def _beats(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


def _names(objective: str, key: str) -> bool:
    return key == objective or key.startswith(f"{objective}_")
