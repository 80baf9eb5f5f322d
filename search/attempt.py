"""One try at a trial: its story is told, and the queue learns how it ended, whatever happened."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from sbldm.errors import ConfigError, DivergedError
from search.events import ExperimentResult
from search.open_study import OpenStudy
from search.part import Part
from search.queue import Lease
from search.study_events import StudyEvent, TrialFinished, TrialPruned


@dataclass(frozen=True)
class Complete:
    """A trial came to its end: what Optuna is to know of it, and the last of its results."""

    values: tuple[float, ...]
    result: ExperimentResult
    constraints: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pruned:
    """A trial was not worth its end, and why."""

    reason: str


Story = Generator[StudyEvent, None, Complete | Pruned]


def attempt(story: Story, lease: Lease, part: Part) -> Generator[StudyEvent, None, None]:
    """Tell the story of a trial, and tell the queue its end.

    The story notes in the trial's attributes which run it is at, before its first event.
    """
    queue = part.queue
    own_fault = (DivergedError, ConfigError) if isinstance(part.study, OpenStudy) else DivergedError
    try:
        end = yield from story
    except (KeyboardInterrupt, GeneratorExit):
        queue.fail(lease, "stopped by the user", retry=True)
        part.store.close_abandoned([run for run in [lease.attributes.get("run")] if run])
        raise
    except own_fault as error:  # a draw may go together badly, which the settings of a grid cannot
        queue.fail(lease, f"{type(error).__name__}: {error}", retry=False)
        yield TrialFinished(label_of(lease), _run_of(lease), None, str(error))
        return
    except BaseException as error:
        queue.fail(lease, type(error).__name__, retry=True)  # a later start may find the cause mended
        raise
    yield _end(end, lease, part)


def objective(result: ExperimentResult) -> float:
    """Return the Frechet distance, by which Optuna's own pages order the trials."""
    return next(each.point for name, each in result.results.items() if name.startswith("eval/fd_"))


def label_of(lease: Lease) -> str:
    """Return the name people read, such as ``gamma=0.5 seed=1``."""
    return f"{lease.attributes['cell']} seed={lease.attributes.get('seed')}"


def _end(end: Complete | Pruned, lease: Lease, part: Part) -> TrialFinished | TrialPruned:
    label, run_id = label_of(lease), _run_of(lease)
    if isinstance(end, Pruned):
        part.queue.prune(lease)
        return TrialPruned(label, run_id, end.reason)
    if part.queue.complete(lease, *end.values, constraints=end.constraints):
        return TrialFinished(label, run_id, end.result)
    return TrialFinished(label, run_id, None, "the study's database was cut off; another worker goes on with it")


def _run_of(lease: Lease) -> str:
    return str(lease.attributes.get("run", ""))
