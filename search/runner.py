"""Run or resume a study: every trial once, whoever runs it and however often it is stopped."""

import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbldm.errors import ConfigError, ResourceError
from sbldm.spec import digest_of
from search.attempt import Complete, Story, attempt, objective
from search.backends import Order, find_backend
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.draws import ask_for, check_ranges, tell_draw
from search.experiment import run_experiment
from search.inspect import describe_ranges
from search.open_study import OpenStudy
from search.part import Part
from search.pruning import tell_pruning
from search.queue import Draw, Lease, TrialQueue
from search.recording import record_run
from search.study import Cell, Study
from search.study_events import StudyEvent, Told, TrialFinished, TrialPruned, TrialStarted
from search.study_run import check_cells, close_parent, facts, find_or_start, goals, open_parent
from search.tracking import MlflowStore
from search.workers import Task

__all__ = [
    "Part",
    "PlannedTrial",
    "StudyEvent",
    "TrialFinished",
    "TrialPruned",
    "TrialStarted",
    "check_name",
    "check_study",
    "describe_plan",
    "objective",
    "plan",
    "run_study",
    "work",
]


@dataclass(frozen=True)
class PlannedTrial:
    """One cell with one seed."""

    cell: Cell
    seed: int
    config: ExperimentConfig

    @property
    def label(self) -> str:
        """Return the name people read, such as ``gamma=0.5 seed=1``."""
        return f"{self.cell.label} seed={self.seed}"


def plan(study: Study, base: ExperimentConfig, seeds: Sequence[int]) -> tuple[PlannedTrial, ...]:
    """Return all trials, each with its validated settings; no data are touched."""
    shared = override(base, study.base)
    return tuple(
        PlannedTrial(cell, seed, override(shared, {**cell.changes, "seed": seed}))
        for seed in seeds
        for cell in study.cells()
    )


def check_name(name: str) -> str:
    """Return the name of an instance of a study, which also names a folder.

    Raises:
        ConfigError: it holds other characters than names may.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"name must consist of letters, digits, dot, dash and underscore, but got {name!r}")
    return name


def run_study(
    study: Study | OpenStudy,
    base: ExperimentConfig,
    *,
    seeds: Sequence[int],
    home: Path,
    store: MlflowStore,
    name: str,
    trials: int | None = None,
    workers: int | None = None,
    storage: str | None = None,
    timeout: float | None = None,
    backend: str = "local",
) -> Generator[StudyEvent, None, str]:
    """Run what is not done yet, and return the id of the study's own run.

    The same seeds give the same results whatever the number of workers; to the bit only where each of them has as many
    threads, since sums are then taken in the same order. What a search draws depends on who finishes first.

    Args:
        study: the question; a search has ``study.trials`` draws in all.
        base: settings that all trials share.
        seeds: each cell is run once with each of them; a draw is one trial of all of them.
        home: folder of the cache and the Optuna database.
        store: where runs are tracked.
        name: of this instance of the study; another base needs another name.
        trials: of a grid: stop after so many; the same command goes on later.
        workers: processes at a time, a GPU or a share of the threads each; None for what the backend has room for.
        storage: address of a PostgreSQL database for the trials, for workers on many machines.
        timeout: seconds after which no trial is begun, and running ones are committed; the same command goes on later.
        backend: where the workers run.

    Raises:
        ResourceError: the workers have died too often.
    """
    check_name(name)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, but got {workers}")
    find_backend(backend).check(storage, store.uri)
    check_study(study, base, seeds)
    queue = TrialQueue(home, name, storage, goals(study))
    queue.check_same(facts(override(base, study.base), study, seeds))
    if isinstance(study, Study):
        check_cells(queue, study, name)
    parent = open_parent(queue, study, store, name)
    if isinstance(study, Study):
        queue.enqueue([_attributes(trial) for trial in plan(study, base, seeds)])
    until = None if timeout is None else time.time() + timeout
    part = Part(study, base, tuple(seeds), home, name, queue, store, parent, until)
    trials = trials if part.draws is None else None  # which the draws themselves limit
    try:
        alone = backend == "local" and workers in {None, 1}
        yield from work(part, trials) if alone else _share_work(part, trials, workers, storage, backend)
        yield from _tell_given_up(part)
        yield from tell_pruning(part)
        yield from _tell_time(part)
    finally:
        close_parent(queue, study, store, parent)
    return parent


def check_study(study: Study | OpenStudy, base: ExperimentConfig, seeds: Sequence[int]) -> None:
    """Refuse settings that no trial could run with, before anything is made.

    Raises:
        ConfigError: names the setting.
    """
    if isinstance(study, OpenStudy):
        check_ranges(study, base)
    else:
        plan(study, base, seeds)


def describe_plan(study: Study | OpenStudy, base: ExperimentConfig, seeds: Sequence[int]) -> list[str]:
    """Return a line for each trial of a grid with the digest of its settings, or what a search draws from."""
    if isinstance(study, OpenStudy):
        return [f"{study.trials} draws by {study.sampler}, each with {len(seeds)} seed(s)", *describe_ranges(study)]
    return [f"{trial.label}\t{trial.config.digest()}" for trial in plan(study, base, seeds)]


def work(part: Part, trials: int | None) -> Generator[StudyEvent, None, None]:
    """Run one trial after the other in this process, until none is left, so many have ended, or the time is over."""
    ask, tell = _how(part)
    done = 0
    while (trials is None or done < trials) and not part.is_late and (lease := part.queue.next(ask)):
        yield from part.in_time(attempt(tell(lease), lease, part))
        done += 1


def _how(part: Part) -> tuple[Draw | None, Callable[[Lease], Story]]:
    """Return what draws a trial that nobody has planned, if anything, and what runs the one that is leased."""
    study = part.study
    if isinstance(study, OpenStudy):
        return ask_for(study, part.base.seed), lambda lease: tell_draw(lease, part)
    planned = {(trial.cell.key, trial.seed): trial for trial in plan(study, part.base, part.seeds)}

    def tell(lease: Lease) -> Story:
        key = lease.attributes["key"], lease.attributes["seed"]
        return _tell_trial(planned.get(key) or _recall(study, part.base, *key), lease, len(planned), part)

    return None, tell


def _share_work(
    part: Part, trials: int | None, workers: int | None, storage: str | None, backend: str
) -> Generator[StudyEvent, None, None]:
    shared = Task(
        study=part.study.to_json(),
        base=part.base.model_dump(mode="json"),
        seeds=part.seeds,
        home=str(part.home),
        name=part.name,
        storage=storage,
        tracking_uri=part.store.uri,
        parent=part.parent,
        until=part.until,
    )
    order = Order(shared, trials, workers, part.base.device, part.left)
    lost = yield from find_backend(backend).run(order)
    if lost and trials is None and not part.is_late and (waiting := order.waiting()):
        raise ResourceError(
            f"{waiting} trial(s) wait, but {lost} worker(s) died too often (is there memory for so many?);"
            " the same command goes on"
        )


def _tell_trial(trial: PlannedTrial, lease: Lease, planned: int, part: Part) -> Story:
    run_id = str(lease.attributes.get("run", ""))
    if not part.store.holds(run_id):
        run_id = _find_or_start(trial, part)
    lease.trial.set_user_attr("run", run_id)
    counts = part.queue.counts()
    yield TrialStarted(trial.label, counts["COMPLETE"] + counts["RUNNING"], planned, run_id)
    events = run_experiment(trial.config, Cache(part.home / "cache"))
    result = yield from record_run(trial.config, events, part.store.tracker(run_id))
    return Complete((objective(result),), result)


def _find_or_start(trial: PlannedTrial, part: Part) -> str:
    tags = {
        "sbldm.study": part.name,
        "sbldm.cell": trial.cell.label,
        "sbldm.seed": str(trial.seed),
        "sbldm.config": digest_of(trial.config.public()),
    }
    own = f"{trial.cell.key}-{trial.seed}"
    return find_or_start(part.queue, part.store, own, trial.label, kind="trial", parent=part.parent, tags=tags)


def _tell_given_up(part: Part) -> Generator[StudyEvent, None, None]:
    for lost in part.queue.given_up():
        part.store.close_abandoned([lost["run"]] if "run" in lost else [])
        label = f"{lost['cell']} seed={lost.get('seed', part.seeds[0])}"
        yield TrialFinished(label, lost.get("run", ""), None, "its process died too often; it is not tried again")


def _tell_time(part: Part) -> Generator[Told, None, None]:
    """Say that the time was over before the trials were done."""
    if part.is_late and (left := part.left()):
        yield Told(f"the time is over, and {left} trial(s) are not done; the same command goes on with them")


def _recall(study: Study, base: ExperimentConfig, key: str, seed: int) -> PlannedTrial:
    """Return a trial that an earlier command planned with a seed this one does not name."""
    return next(trial for trial in plan(study, base, [seed]) if trial.cell.key == key)


def _attributes(trial: PlannedTrial) -> dict[str, Any]:
    return {"key": trial.cell.key, "cell": trial.cell.label, "seed": trial.seed}
