"""Complete the record of what ran while the tracking store was away, or died before it could say how it ended."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sbldm.errors import RunError
from search.ablation import recall_study
from search.locks import try_hold
from search.queue import TrialQueue
from search.storage import study_names
from search.study_run import close_parent
from search.tracking import MlflowStore, RunRecord

SECONDS = 600.0
STUDY, KIND = "sbldm.study", "sbldm.kind"


@dataclass(frozen=True)
class Synced:
    """What was done.

    Attributes:
        told: runs of which entries had waited.
        waiting: entries that still wait, since the store has failed again.
        ended: runs without a process, by name, and how they are said to have ended.
        left: names of runs that seem to run, and of whose process nothing is known here.
        moved: records that named the folder's former place.
        elsewhere: runs of which entries wait for another store.
    """

    told: int
    waiting: int
    ended: dict[str, str]
    left: tuple[str, ...]
    moved: int
    elsewhere: int

    def lines(self) -> list[str]:
        """Say it in words."""
        told = [f"{name}: its process is gone; {status}" for name, status in self.ended.items()]
        told += [f"{name}: RUNNING, and not by a process of this folder; left as it is" for name in self.left]
        if self.moved:
            told.append(f"{self.moved} records named another folder for their files, and name this one now")
        if self.elsewhere:
            told.append(f"{self.elsewhere} records wait for another store: name it with --tracking-uri")
        told.append(f"records completed: {self.told}; entries that still wait: {self.waiting}")
        return told


def synchronize(home: Path, store: MlflowStore, storage: str | None = None) -> Synced:
    """Tell the store what waits for it, and how runs ended whose process is gone; a second time there is nothing to do.

    Args:
        home: folder of what waits, of the locks that living processes hold, and of the studies.
        store: which must answer.
        storage: address of the database of studies, where that is a server.
    """
    moved = store.follow_move()
    told = store.catch_up()
    store.settle(SECONDS)
    names = study_names(home, storage)
    running = [run for run in store.runs() if run.status == "RUNNING"]
    asked = {run.tags.get(STUDY, "") for run in running} & names
    queues = {name: TrialQueue(home, name, storage) for name in asked}
    held = {name: _held_runs(queue) for name, queue in queues.items()}
    dead = [run for run in running if _lives(run, held, home) is False]
    for run in dead:
        if run.tags[KIND] == "study":
            _end_study(run, queues[run.tags[STUDY]], store)
        else:
            store.close_abandoned([run.run_id])
    return Synced(
        told=told,
        waiting=store.settle(SECONDS),
        ended={run.name: store.find(run.run_id).status for run in dead},
        left=tuple(run.name for run in running if _lives(run, held, home) is None),
        moved=moved,
        elsewhere=len({path.parent for path in (home / "spool").glob("*/*/*.jsonl")} - set(store.spool.glob("*"))),
    )


def _end_study(run: RunRecord, queue: TrialQueue, store: MlflowStore) -> None:
    try:
        study = recall_study(run.tags[STUDY], store)
    except RunError:  # killed before it could keep what it asks
        store.close_abandoned([run.run_id])
    else:
        close_parent(queue, study, store, run.run_id)


def _lives(run: RunRecord, held: Mapping[str, set[str]], home: Path) -> bool | None:
    """Return whether the process of a run lives, or None where this folder knows nothing of it."""
    names = {run.run_id, run.tags.get("sbldm.local", run.run_id)}
    if (study := run.tags.get(STUDY)) in held:
        trials = held[str(study)]
        return bool(trials if run.tags[KIND] == "study" else trials & names)
    locks = [path for name in names if (path := home / "cache" / "running" / f"{name}.lock").exists()]
    return not all(_is_free(path) for path in locks) if locks else None


def _held_runs(queue: TrialQueue) -> set[str]:
    """Return the runs of trials that a living worker holds."""
    queue.waiting()  # which gives up the trials of dead ones
    trials = queue.study.get_trials(deepcopy=False)
    return {str(trial.user_attrs.get("run")) for trial in trials if trial.state.name == "RUNNING"}


def _is_free(lock: Path) -> bool:
    descriptor = try_hold(lock)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None
