"""Run or resume a study: every cell with every seed becomes one trial, and every trial one tracked run."""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbldm.errors import ConfigError, DivergedError, ResourceError
from sbldm.spec import digest_of
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.events import Event, ExperimentResult
from search.experiment import run_experiment
from search.queue import Lease, TrialQueue
from search.recording import record_run
from search.study import Cell, Study
from search.study_run import check_cells, close_parent, facts, find_or_start, open_parent, study_to_json
from search.tracking import MlflowStore
from search.workers import StillWorking, Task, WorkerSaid, run_workers, share_out


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


@dataclass(frozen=True)
class TrialStarted:
    """A trial begins, or goes on."""

    label: str
    number: int
    planned: int
    run_id: str


@dataclass(frozen=True)
class TrialFinished:
    """A trial has its result, or has failed for good: then ``result`` is None and ``reason`` says why."""

    label: str
    run_id: str
    result: ExperimentResult | None
    reason: str = ""


StudyEvent = TrialStarted | TrialFinished | WorkerSaid | StillWorking | Event


@dataclass(frozen=True, eq=False)
class Part:
    """A process' part in a study: what is asked, where its trials wait, and where they are tracked."""

    study: Study
    base: ExperimentConfig
    seeds: tuple[int, ...]
    home: Path
    name: str
    queue: TrialQueue
    store: MlflowStore
    parent: str


def plan(study: Study, base: ExperimentConfig, seeds: Sequence[int]) -> tuple[PlannedTrial, ...]:
    """Return all trials, each with its validated settings; no data are touched."""
    shared = override(base, study.base)
    return tuple(
        PlannedTrial(cell, seed, override(shared, {**cell.changes, "seed": seed}))
        for seed in seeds
        for cell in study.cells()
    )


def run_study(
    study: Study,
    base: ExperimentConfig,
    *,
    seeds: Sequence[int],
    home: Path,
    store: MlflowStore,
    name: str,
    trials: int | None = None,
    workers: int = 1,
    storage: str | None = None,
) -> Generator[StudyEvent, None, str]:
    """Run what is not done yet, and return the id of the study's own run.

    The same seeds give the same results whatever the number of workers; to the bit only where each of them has as many
    threads, since sums are then taken in the same order.

    Args:
        study: the question.
        base: settings that all cells share.
        seeds: each cell is run once with each of them.
        home: folder of the cache and the Optuna database.
        store: where runs are tracked.
        name: of this instance of the study; another base needs another name.
        trials: stop after so many; the same command goes on later.
        workers: processes of this machine that work at it; each has its own GPU, or its share of the threads.
        storage: address of a PostgreSQL database for the trials, for workers on many machines.

    Raises:
        ResourceError: the workers have died too often.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"name must consist of letters, digits, dot, dash and underscore, but got {name!r}")
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, but got {workers}")
    planned = plan(study, base, seeds)
    queue = TrialQueue(home, name, storage)
    queue.check_same(facts(override(base, study.base)))
    check_cells(queue, study, name)
    parent = open_parent(queue, study, store, name)
    queue.enqueue([_attributes(trial) for trial in planned])
    part = Part(study, base, tuple(seeds), home, name, queue, store, parent)
    try:
        yield from work(part, trials) if workers == 1 else _share_work(part, trials, workers, storage)
        yield from _tell_given_up(part)
    finally:
        close_parent(queue, store, parent)
    return parent


def work(part: Part, trials: int | None) -> Generator[StudyEvent, None, None]:
    """Run one waiting trial after the other in this process, until none waits or so many have ended."""
    planned = {(trial.cell.key, trial.seed): trial for trial in plan(part.study, part.base, part.seeds)}
    done = 0
    while (trials is None or done < trials) and (lease := part.queue.next()):
        key = lease.attributes["key"], lease.attributes["seed"]
        trial = planned.get(key) or _recall(part.study, part.base, *key)
        yield from _run_trial(trial, lease, len(planned), part)
        done += 1


def _share_work(part: Part, trials: int | None, workers: int, storage: str | None) -> Generator[StudyEvent, None, None]:
    shared = Task(
        study=study_to_json(part.study),
        base=part.base.model_dump(mode="json"),
        seeds=part.seeds,
        home=str(part.home),
        name=part.name,
        storage=storage,
        tracking_uri=part.store.uri,
        parent=part.parent,
    )
    lost = yield from run_workers(share_out(shared, trials, workers), device=part.base.device)
    waiting = len(part.queue.waiting())
    if lost and waiting and trials is None:
        raise ResourceError(
            f"{waiting} trial(s) wait, but {lost} of {workers} workers died too often (is there memory for so many?);"
            " the same command goes on"
        )


def _run_trial(trial: PlannedTrial, lease: Lease, planned: int, part: Part) -> Generator[StudyEvent, None, None]:
    queue, store = part.queue, part.store
    run_id = str(lease.attributes.get("run", ""))
    if not store.holds(run_id):
        run_id = _find_or_start(trial, part)
    lease.trial.set_user_attr("run", run_id)
    try:
        counts = queue.counts()
        yield TrialStarted(trial.label, counts["COMPLETE"] + counts["RUNNING"], planned, run_id)
        events = run_experiment(trial.config, Cache(part.home / "cache"))
        result = yield from record_run(trial.config, events, store.tracker(run_id))
    except (KeyboardInterrupt, GeneratorExit):
        queue.fail(lease, "stopped by the user", retry=True)
        store.close_abandoned([run_id])
        raise
    except DivergedError as error:
        queue.fail(lease, f"diverged: {error}", retry=False)
        yield TrialFinished(trial.label, run_id, None, str(error))
        return
    except BaseException as error:
        queue.fail(lease, type(error).__name__, retry=True)  # a later start may find the cause mended
        raise
    if queue.complete(lease, objective(result)):
        yield TrialFinished(trial.label, run_id, result)
    else:
        yield TrialFinished(
            trial.label, run_id, None, "the study's database was cut off; another worker goes on with it"
        )


def objective(result: ExperimentResult) -> float:
    """Return the Frechet distance, by which Optuna's own pages order the trials."""
    return next(each.point for name, each in result.results.items() if name.startswith("eval/fd_"))


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
        label = f"{lost['cell']} seed={lost['seed']}"
        yield TrialFinished(label, lost.get("run", ""), None, "its process died too often; it is not tried again")


def _recall(study: Study, base: ExperimentConfig, key: str, seed: int) -> PlannedTrial:
    """Return a trial that an earlier command planned with a seed this one does not name."""
    return next(trial for trial in plan(study, base, [seed]) if trial.cell.key == key)


def _attributes(trial: PlannedTrial) -> dict[str, Any]:
    return {"key": trial.cell.key, "cell": trial.cell.label, "seed": trial.seed}
