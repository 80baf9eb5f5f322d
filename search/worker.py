"""The process of one worker, ``python -m search.worker``: a task on its standard input, lines of JSON on its output."""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from search.config import build_config
from search.interrupt import Stopped, listening
from search.part import Part
from search.progress import Narrator
from search.queue import TrialQueue
from search.runner import work
from search.study_events import StudyEvent, TrialFinished, TrialPruned, TrialStarted
from search.study_run import LAST_SECONDS, goals, study_from_json
from search.tracking import MlflowStore
from search.workers import Task

QUIET_SECONDS = 0.2


def main() -> int:
    """Work until no trial waits, the share is done, or the parent asks to stop or is gone; return the exit code."""
    mouth = Mouth(_to_pipe(os.fdopen(os.dup(sys.stdout.fileno()), "w")))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no message
    line = sys.stdin.readline()
    threading.Thread(target=_watch_parent, daemon=True).start()
    return serve(Task(**json.loads(line)), mouth)


def serve(task: Task, mouth: "Mouth") -> int:
    """Work at a task, tell what goes wrong, and return the exit code."""
    try:
        _work(task, mouth)
    except Stopped as stopped:
        return stopped.exit_code
    except BaseException as error:
        words = " ".join(str(error).split())
        mouth.tell({"failed": type(error).__name__, "message": words, "trace": traceback.format_exc()})
        return 1
    return 0


@dataclass
class Mouth:
    """What tells the parent; passing lines only now and then."""

    send: Callable[[dict[str, Any]], None]
    narrator: Narrator = field(default_factory=lambda: Narrator(every=0.25))
    _told: float = -1.0

    def narrate(self, event: StudyEvent) -> None:
        """Tell an event in words, if there is anything to say."""
        if isinstance(event, TrialStarted):
            self.tell({"begun": 1})
        line = self.narrator.tell(event)
        now = time.monotonic()
        if line is not None and (not line.passing or now - self._told >= QUIET_SECONDS):
            self._told = now
            self.tell({"text": line.text, "passing": line.passing})
        if isinstance(event, TrialFinished | TrialPruned):
            self.tell({"done": 1})

    def tell(self, message: dict[str, Any]) -> None:
        """Send one message; a parent that is gone is one that asks to stop."""
        try:
            self.send(message)
        except BrokenPipeError:
            signal.raise_signal(signal.SIGTERM)


def _to_pipe(pipe: IO[str]) -> Callable[[dict[str, Any]], None]:
    def send(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()

    return send


def _work(task: Task, mouth: Mouth) -> None:
    with listening() as request:
        part = _open(task)
        events = work(part, task.trials)
        with closing(events):
            while request.exit_code is None:
                try:
                    mouth.narrate(next(events))
                except StopIteration:
                    part.store.settle(LAST_SECONDS)
                    return
    raise Stopped(request.exit_code)


def _open(task: Task) -> Part:
    home, study = Path(task.home), study_from_json(task.study)
    return Part(
        study=study,
        base=build_config(task.base),
        seeds=tuple(task.seeds),
        home=home,
        name=task.name,
        queue=TrialQueue(home, task.name, task.storage, goals(study)),
        store=MlflowStore(home, task.tracking_uri, may_wait=True),
        parent=task.parent,
        until=task.until,
    )


def _watch_parent() -> None:
    """Stop as by SIGTERM when the parent's end of the pipe closes, which its death does too."""
    while os.read(0, 1):  # not sys.stdin, whose lock a waiting thread would keep from the interpreter's end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
