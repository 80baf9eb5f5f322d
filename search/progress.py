"""Events as words: what a person reads while an experiment runs."""

import sys
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from sbldm.training import StepRecord
from search.events import Progress, StageFinished, StageStarted
from search.interrupt import Stopped, listening
from search.study_events import StudyEvent, Told, TrialFinished, TrialPruned, TrialStarted
from search.workers import WorkerSaid

R = TypeVar("R")


@dataclass(frozen=True)
class Line:
    """One line; a passing one may be overwritten by the next."""

    text: str
    passing: bool


@dataclass
class Narrator:
    """Turn events into lines, with the time each stage still needs.

    Args:
        every: share of a stage between two lasting lines about its progress; 0 for passing lines only.
    """

    every: float
    _stage: str = ""
    _started: float = 0.0
    _first: int = 0
    _told: float = 0.0
    _seen: set[str] = field(default_factory=set)

    def tell(self, event: StudyEvent) -> Line | None:
        """Return what to say of an event, if anything."""
        if isinstance(event, StepRecord):
            return self._advance(event.stage, event.step, event.steps, f"  loss {event.loss:.4f}")
        if isinstance(event, Progress):
            return self._advance(event.stage, event.done, event.total, "")
        if isinstance(event, StageStarted):
            self._stage = ""
            return Line(f"  {event.stage} ...", passing=True)
        if isinstance(event, StageFinished):
            return self._finish(event)
        if isinstance(event, TrialStarted):
            self._seen.clear()
            return Line(
                f"trial {event.number} of {event.planned}: {event.label}  (run {event.run_id[:8]})", passing=False
            )
        if isinstance(event, TrialFinished):
            return Line(f"  {_outcome(event)}", passing=False)
        if isinstance(event, TrialPruned):
            return Line(f"  stopped early: {event.reason}", passing=False)
        if isinstance(event, Told):
            return Line(event.text, passing=False)
        return Line(event.text, event.passing) if isinstance(event, WorkerSaid) else None

    def _advance(self, stage: str, done: int, total: int, extra: str) -> Line:
        if stage != self._stage:
            self._stage, self._started, self._first, self._told = stage, time.monotonic(), done, done / total
        spent, advanced = time.monotonic() - self._started, done - self._first
        left = f"  {_duration(spent / advanced * (total - done))} left" if advanced else ""
        lasting = bool(self.every) and (done / total - self._told >= self.every)
        if lasting:
            self._told = done / total
        return Line(f"  {stage} {done}/{total}{extra}{left}", passing=not lasting)

    def _finish(self, event: StageFinished) -> Line | None:
        self._stage = ""
        if event.cached and event.stage in self._seen:
            return None
        self._seen.add(event.stage)
        how = "ready in the cache, once took" if event.cached else "done in"
        return Line(f"  {event.stage}: {how} {_duration(event.seconds)}", passing=False)


def follow(events: Generator[StudyEvent, None, R]) -> R:
    """Run to the end and return the result, telling on stderr how far it is.

    On a terminal one line moves; in a pipe there are plain lines.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, once the work in progress is committed.
    """
    moves = sys.stderr.isatty()
    narrator = Narrator(every=0.0 if moves else 0.25)
    with listening() as request, closing(events):
        while request.exit_code is None:
            try:
                line = narrator.tell(next(events))
            except StopIteration as finished:
                result: R = finished.value
                return result
            if line and (moves or not line.passing):
                _write(line, moves=moves)
    raise Stopped(request.exit_code)


def _write(line: Line, *, moves: bool) -> None:
    end = "\r" if line.passing else "\n"
    sys.stderr.write(f"\033[K{line.text}{end}" if moves else f"{line.text}\n")
    sys.stderr.flush()


def _outcome(event: TrialFinished) -> str:
    if event.result is None:
        return f"failed: {event.reason}"
    lead = next(name for name in event.result.results if name.startswith("eval/fd_"))
    measured = event.result.results[lead]
    return f"{measured.name} {measured.point:.4g} [{measured.low:.4g}, {measured.high:.4g}]"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
