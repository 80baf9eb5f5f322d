"""What a watcher may know of a study on its way: its trials, its workers, and why it stops."""

from dataclasses import dataclass

from search.events import Event, ExperimentResult
from search.workers import StillWorking, WorkerSaid


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


@dataclass(frozen=True)
class TrialPruned:
    """A draw was found hopeless and is not gone on with; it counts as tried."""

    label: str
    run_id: str
    reason: str


@dataclass(frozen=True)
class Told:
    """A line about the study as a whole, such as that its time is over."""

    text: str


StudyEvent = TrialStarted | TrialFinished | TrialPruned | Told | WorkerSaid | StillWorking | Event
