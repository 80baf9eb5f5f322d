"""Run or resume a study: every cell with every seed becomes one trial, and every trial one tracked run."""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbldm.errors import ConfigError, DivergedError, RunError
from sbldm.spec import digest_of
from search.cache import Cache
from search.config import ExperimentConfig, flatten, override
from search.events import Event, ExperimentResult
from search.experiment import run_experiment
from search.queue import Lease, TrialQueue
from search.recording import record_run
from search.study import Cell, Study
from search.tracking import MlflowStore, Scalar, Tags


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


StudyEvent = TrialStarted | TrialFinished | Event


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
) -> Generator[StudyEvent, None, str]:
    """Run what is not done yet, and return the id of the study's own run.

    Args:
        study: the question.
        base: settings that all cells share.
        seeds: each cell is run once with each of them.
        home: folder of the cache and the Optuna database.
        store: where runs are tracked.
        name: of this instance of the study; another base needs another name.
        trials: stop after so many; the same command goes on later.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"name must consist of letters, digits, dot, dash and underscore, but got {name!r}")
    planned = {(trial.cell.key, trial.seed): trial for trial in plan(study, base, seeds)}
    queue = TrialQueue(home, name)
    queue.check_same(_facts(override(base, study.base)))
    _check_cells(queue, study, name)
    parent = _parent(queue, study, store, name)
    queue.enqueue([_attributes(trial) for trial in planned.values()])
    done = 0
    try:
        while (trials is None or done < trials) and (lease := queue.next()):
            key = lease.attributes["key"], lease.attributes["seed"]
            trial = planned.get(key) or _recall(study, base, *key)
            yield from _run_trial(trial, lease, len(planned), queue, store, parent, home, name)
            done += 1
        for lost in queue.given_up():
            store.close_abandoned([lost["run"]] if "run" in lost else [])
            label = f"{lost['cell']} seed={lost['seed']}"
            yield TrialFinished(label, lost.get("run", ""), None, "its process died too often; it is not tried again")
    finally:
        _close(queue, store, parent)
    return parent


def _run_trial(
    trial: PlannedTrial,
    lease: Lease,
    planned: int,
    queue: TrialQueue,
    store: MlflowStore,
    parent: str,
    home: Path,
    name: str,
) -> Generator[StudyEvent, None, None]:
    run_id = str(lease.attributes.get("run", ""))
    if not store.holds(run_id):
        run_id = store.start(trial.label, kind="trial", parent=parent, tags=_tags(trial, name))
    lease.trial.set_user_attr("run", run_id)
    try:
        yield TrialStarted(trial.label, queue.counts()["COMPLETE"] + 1, planned, run_id)
        events = run_experiment(trial.config, Cache(home / "cache"))
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
    queue.complete(lease, objective(result))
    yield TrialFinished(trial.label, run_id, result)


def objective(result: ExperimentResult) -> float:
    """Return the Frechet distance, by which Optuna's own pages order the trials."""
    return next(each.point for name, each in result.results.items() if name.startswith("eval/fd_"))


def _facts(base: ExperimentConfig) -> dict[str, str]:
    """Return what must not change under a study; paths are private, so files are known by their digest."""
    files = base.data.fingerprint()
    return flatten(base.model_copy(update={"seed": 0}).public()) | ({"data.files": files} if files else {})


def _check_cells(queue: TrialQueue, study: Study, name: str) -> None:
    """Refuse to go on with trials of settings that the study has lost since it was begun."""
    keys = {cell.key for cell in study.cells()}
    lost = sorted({str(trial["cell"]) for trial in queue.waiting() if trial["key"] not in keys})
    if lost:
        raise RunError(
            f"study {name!r} was begun with settings that {study.name} no longer has ({', '.join(lost)});"
            " give this one another name with --name"
        )


def _parent(queue: TrialQueue, study: Study, store: MlflowStore, name: str) -> str:
    with queue.alone():
        known = str(queue.study.user_attrs.get("parent", ""))
        if known and store.holds(known):
            return known
        if queue.counts()["COMPLETE"]:
            raise RunError(
                f"study {name!r} has finished trials that this tracking store does not hold: name the one it was begun"
                " with, or give the study another name with --name (what was trained is still in the cache)"
            )
        tags = {"sbldm.study": name, "sbldm.question": study.question, "sbldm.baseline": study.baseline}
        parent = store.start(f"study {name}", kind="study", tags=tags)
        queue.study.set_user_attr("parent", parent)
        return parent


def _close(queue: TrialQueue, store: MlflowStore, parent: str) -> None:
    """Say how the study stands: its counts and best value on the parent run, and the truth on abandoned ones."""
    counts = queue.counts()
    tracker = store.tracker(parent)
    for state, count in counts.items():
        tracker.log(Scalar(f"trials/{state.lower()}", count))
    if counts["COMPLETE"]:
        best = queue.study.best_trial
        tracker.log(Scalar("best/fd", float(best.values[0])))
        tracker.log(Tags({"sbldm.best": str(best.user_attrs["cell"])}))
    tracker.finish("FINISHED" if counts["RUNNING"] + counts["WAITING"] == 0 else "KILLED")


def _recall(study: Study, base: ExperimentConfig, key: str, seed: int) -> PlannedTrial:
    """Return a trial that an earlier command planned with a seed this one does not name."""
    return next(trial for trial in plan(study, base, [seed]) if trial.cell.key == key)


def _attributes(trial: PlannedTrial) -> dict[str, Any]:
    return {"key": trial.cell.key, "cell": trial.cell.label, "seed": trial.seed}


def _tags(trial: PlannedTrial, name: str) -> dict[str, str]:
    config = digest_of(trial.config.public())
    return {"sbldm.study": name, "sbldm.cell": trial.cell.label, "sbldm.seed": str(trial.seed), "sbldm.config": config}
