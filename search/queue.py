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
from search.open_study import Goal
from search.storage import open_study

MOST_RETRIES = 3
STOPPED = "stopped"
ERROR = "error"
COUNTED = ("COMPLETE", "PRUNED", "RUNNING", "WAITING")
Draw = Callable[[optuna.Study], optuna.Trial | None]


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
        goals: minimize or maximize, for each objective; those of a study that is there stay as they are.
    """

    def __init__(
        self, home: Path, name: str, storage: str | None = None, goals: Sequence[Goal] = ("minimize",)
    ) -> None:
        self.study, self._locks = open_study(home, name, storage, goals)

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

    def next(self, draw: Draw | None = None) -> Lease | None:
        """Take the next waiting trial, or draw a new one, or return None when all are taken or done.

        Args:
            draw: asks the study for a trial that nobody has planned, while no other worker does; None for no more.
        """
        with self.alone():
            self._reconcile()
            waits = bool(self._in_state(TrialState.WAITING))
            trial = self.study.ask() if waits else draw(self.study) if draw else None
            if trial is None:
                return None
            free = self._locks.try_trial(trial.number)
            assert free is not None, "the mutex is held, so no other process can have this new trial's lock"
            return Lease(trial, free)

    def complete(self, lease: Lease, *values: float, constraints: Mapping[str, float] | None = None) -> bool:
        """Store a trial's values and free its lock; return False where it is no longer ours to complete.

        A worker that the database took for dead, because its connection was cut, ends so; a copy counts instead.
        """
        with self.alone():
            is_ours = self._is_running(lease.trial.number)
            if is_ours:
                for name, value in (constraints or {}).items():
                    lease.trial.set_constraint(name, value)
                self.study.tell(lease.trial, values)
            lease.free()
        return is_ours

    def prune(self, lease: Lease) -> None:
        """Store that a trial was not worth its end, and free its lock: it counts as tried."""
        with self.alone():
            if self._is_running(lease.trial.number):
                self.study.tell(lease.trial, state=TrialState.PRUNED)
            lease.free()

    def fail(self, lease: Lease, reason: str, *, retry: bool) -> None:
        """Mark a trial as failed; ``retry`` lets a copy take its place when the queue is next asked."""
        with self.alone():
            if self._is_running(lease.trial.number):
                lease.trial.set_user_attr(STOPPED if retry else ERROR, reason)
                self.study.tell(lease.trial, state=TrialState.FAIL)
            lease.free()

    def counts(self) -> dict[str, int]:
        """Return how many planned trials are complete, pruned, running, waiting, or failed for good."""
        failed = [
            trial for trial in self._in_state(TrialState.FAIL) if ERROR in trial.user_attrs or _is_given_up(trial)
        ]
        states = {name: len(self._in_state(TrialState[name])) for name in COUNTED}
        return states | {"FAILED": len(failed)}

    def left(self, drawn: int | None = None) -> int:
        """Return how many trials nobody has run or runs: of those planned, or of so many to be drawn."""
        waiting, counts = len(self.waiting()), self.counts()
        return waiting if drawn is None else max(0, drawn - sum(counts.values()) + waiting)

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
        drawn = {**trial.system_attrs.get("fixed_params", {}), **trial.params}  # the latter, once it had begun
        self.study.enqueue_trial(drawn, user_attrs=kept | {"retry_of": trial.number, "crashes": _crashes(trial)})

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
