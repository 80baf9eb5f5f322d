"""Exactly the planned trials, however many workers there are and whenever they are killed.

A worker holds a lock on its trial for life. The kernel, or the database server, frees it at death, so a trial that is
RUNNING but not locked has lost its worker: it is marked FAIL and a copy waits in its place. No heartbeat, no clock.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sbldm.errors import RunError
from search.storage import open_study

MOST_RETRIES = 3
STOPPED = "stopped"
ERROR = "error"


@dataclass(frozen=True)
class Lease:
    """A trial that this process has taken; ``free`` lets go of the lock that says so."""

    trial: optuna.Trial
    free: Callable[[], None]

    @property
    def attributes(self) -> dict[str, Any]:
        """Return what is known of the trial: its cell, seed, and the run it may go on with."""
        return dict(self.trial.user_attrs)


class TrialQueue:
    """The trials of one study in an Optuna database.

    Args:
        home: folder of ``optuna.db`` and of the locks.
        name: of the Optuna study; made on first use.
        storage: address of a PostgreSQL database instead, for workers on many machines.
    """

    def __init__(self, home: Path, name: str, storage: str | None = None) -> None:
        self.study, self._locks = open_study(home, name, storage)

    def check_same(self, facts: Mapping[str, str]) -> None:
        """Remember what decides this study's numbers, or refuse to mix two kinds of them in one study.

        Raises:
            RunError: names each fact that differs from the stored one.
        """
        with self.alone():
            stored = self.study.user_attrs.get("facts")
            if stored is None:
                self.study.set_user_attr("facts", dict(facts))
                return
        odd = sorted(key for key in {*stored, *facts} if stored.get(key) != facts.get(key))
        if odd:
            told = "; ".join(f"{key} was {stored.get(key)}, is {facts.get(key)}" for key in odd[:5])
            raise RunError(
                f"study {self.study.study_name!r} was begun with other settings ({told});"
                " give this one another name with --name"
            )

    def enqueue(self, planned: Sequence[Mapping[str, Any]]) -> None:
        """Queue each planned trial once, whatever has been queued before; ``key`` and ``seed`` name a trial."""
        with self.alone():
            known = {_name(trial) for trial in self.study.get_trials(deepcopy=False)}
            for attributes in planned:
                if (attributes["key"], attributes["seed"]) not in known:
                    self.study.enqueue_trial({}, user_attrs=dict(attributes))

    def next(self) -> Lease | None:
        """Take the next waiting trial, or None when all are taken or done."""
        with self.alone():
            self._reconcile()
            if not self._in_state(TrialState.WAITING):
                return None
            trial = self.study.ask()
            free = self._locks.try_trial(trial.number)
            assert free is not None, "the mutex is held, so no other process can have this new trial's lock"
            return Lease(trial, free)

    def complete(self, lease: Lease, value: float) -> bool:
        """Store a trial's value and free its lock; return False where it is no longer ours to complete.

        A worker that the database took for dead, because its connection was cut, ends so; a copy counts instead.
        """
        with self.alone():
            is_ours = self._is_running(lease.trial.number)
            if is_ours:
                self.study.tell(lease.trial, value)
            lease.free()
        return is_ours

    def fail(self, lease: Lease, reason: str, *, retry: bool) -> None:
        """Mark a trial as failed; ``retry`` lets a copy take its place when the queue is next asked."""
        with self.alone():
            if self._is_running(lease.trial.number):
                lease.trial.set_user_attr(STOPPED if retry else ERROR, reason)
                self.study.tell(lease.trial, state=TrialState.FAIL)
            lease.free()

    def counts(self) -> dict[str, int]:
        """Return how many planned trials are complete, running, waiting, or failed for good."""
        failed = [
            trial for trial in self._in_state(TrialState.FAIL) if ERROR in trial.user_attrs or _is_given_up(trial)
        ]
        states = {name: len(self._in_state(TrialState[name])) for name in ("COMPLETE", "RUNNING", "WAITING")}
        return states | {"FAILED": len(failed)}

    def given_up(self) -> list[dict[str, Any]]:
        """Return what is known of the trials whose process has died too often to try again."""
        return [dict(trial.user_attrs) for trial in self._in_state(TrialState.FAIL) if _is_given_up(trial)]

    def waiting(self) -> list[dict[str, Any]]:
        """Return what is known of the trials that are still to be run or run again."""
        with self.alone():
            self._reconcile()
            return [dict(trial.user_attrs) for trial in self._in_state(TrialState.WAITING)]

    def alone(self) -> AbstractContextManager[None]:
        """Keep the other workers of this study waiting while the block runs; not to be nested."""
        return self._locks.mutex()

    def _reconcile(self) -> None:
        for trial in self._in_state(TrialState.RUNNING):
            free = self._locks.try_trial(trial.number)
            if free is not None:
                if self._is_running(trial.number):
                    self.study.tell(trial.number, state=TrialState.FAIL)
                free()
        trials = self.study.get_trials(deepcopy=False)
        replaced = {trial.user_attrs.get("retry_of") for trial in trials}
        for trial in trials:
            if trial.state == TrialState.FAIL and ERROR not in trial.user_attrs and trial.number not in replaced:
                self._requeue(trial)

    def _requeue(self, trial: FrozenTrial) -> None:
        if _is_given_up(trial):
            return
        kept = {key: value for key, value in trial.user_attrs.items() if key != STOPPED}
        self.study.enqueue_trial({}, user_attrs=kept | {"retry_of": trial.number, "crashes": _crashes(trial)})

    def _in_state(self, state: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))

    def _is_running(self, number: int) -> bool:
        return self.study.get_trials(deepcopy=False)[number].state == TrialState.RUNNING


def _crashes(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get("crashes", 0)) + (STOPPED not in trial.user_attrs)


def _is_given_up(trial: FrozenTrial) -> bool:
    return ERROR not in trial.user_attrs and _crashes(trial) > MOST_RETRIES


def _name(trial: FrozenTrial) -> tuple[str, int]:
    return trial.user_attrs["key"], trial.user_attrs["seed"]
