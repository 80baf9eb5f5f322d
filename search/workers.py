"""Several processes of this machine at one study: started, listened to, replaced a few times, and stopped together."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any

import sbldm.errors
from sbldm.training import DeviceName, choose_device
from search.interrupt import EXIT_CODES

COMMAND = (sys.executable, "-P", "-m", "search.worker")
AS_ASKED = {0, *EXIT_CODES.values()}
MOST_RESTARTS = 3
GRACE_SECONDS = 60.0
TICK_SECONDS = 0.2


@dataclass(frozen=True)
class WorkerSaid:
    """A worker's line about its progress; a passing one may be overwritten by the next."""

    worker: int
    text: str
    passing: bool


@dataclass(frozen=True)
class StillWorking:
    """Nothing is new; the watcher may stop here."""


@dataclass(frozen=True)
class Task:
    """What a worker is told, as JSON on its standard input: addresses may hold passwords, and arguments are public."""

    study: dict[str, Any]
    base: dict[str, Any]
    seeds: tuple[int, ...]
    home: str
    name: str
    storage: str | None
    tracking_uri: str
    parent: str
    worker: int = 1
    trials: int | None = None
    until: float | None = None


def share_out(task: Task, trials: int | None, workers: int) -> list[Task]:
    """Return the task of each worker; where trials are limited, each has its share and none an empty one."""
    if trials is None:
        return [replace(task, worker=number) for number in range(1, workers + 1)]
    shares = [trials // workers + (number < trials % workers) for number in range(workers)]
    return [replace(task, worker=number, trials=share) for number, share in enumerate(shares, start=1) if share]


def run_workers(tasks: Sequence[Task], *, device: DeviceName) -> Generator[WorkerSaid | StillWorking, None, int]:
    """Let one process work at each task, pass on what they say, and return how many died too often to be replaced.

    Closing the generator stops them: each commits its work and leaves.

    Raises:
        Exception: of the kind that a worker has reported, once the others have stopped.
    """
    inbox: SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = SimpleQueue()
    environments = divide_machine(len(tasks), device=device)
    crew = [_Worker(task, environment, inbox) for task, environment in zip(tasks, environments, strict=True)]
    lost, working = 0, len(crew)
    try:
        for worker in crew:
            worker.start()
        while working:
            try:
                worker, message = inbox.get(timeout=TICK_SECONDS)
            except Empty:
                yield StillWorking()
                continue
            if message is not None:
                yield from worker.hear(message)
                continue
            code = worker.reap()
            if code in AS_ASKED:
                working -= 1
            elif worker.starts <= MOST_RESTARTS:
                yield worker.say(f"died ({_how(code)}); another takes its place")
                worker.start()
            else:
                yield worker.say(f"died {worker.starts} times ({_how(code)}); no other takes its place")
                lost, working = lost + 1, working - 1
    finally:
        _stop(crew)
    return lost


def divide_machine(workers: int, *, device: DeviceName) -> list[dict[str, str]]:
    """Return the environment of each worker: a GPU of its own where there are enough, and its share of the threads."""
    import torch

    threads = str(max(1, torch.get_num_threads() // workers))
    shared = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if choose_device(device).type != "cuda":
        return [shared] * workers
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = listed.split(",") if listed else [str(number) for number in range(torch.cuda.device_count())]
    return [{**shared, "CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} for number in range(workers)]


@dataclass(eq=False)
class _Worker:
    """One process after the other at one task."""

    task: Task
    environment: dict[str, str]
    inbox: "SimpleQueue[tuple[_Worker, dict[str, Any] | None]]"
    starts: int = 0
    done: int = 0
    process: subprocess.Popen[str] = field(init=False)
    listener: threading.Thread = field(init=False)

    def start(self) -> None:
        """Start a process at what is left of the task; Ctrl-C in the terminal reaches its parent alone."""
        left = None if self.task.trials is None else self.task.trials - self.done
        self.starts += 1
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=True,
        )
        self.listener = threading.Thread(target=self._listen, args=[self.process], daemon=True)
        self.listener.start()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already, which its listener tells
            self.process.stdin.write(json.dumps(asdict(replace(self.task, trials=left))) + "\n")
            self.process.stdin.flush()  # and left open: its end tells the worker that we are gone

    def reap(self) -> int:
        """Return how the process has ended, once it has said its last: closing its input earlier would stop it."""
        code = self.process.wait()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        return code

    def hear(self, message: dict[str, Any]) -> Generator[WorkerSaid, None, None]:
        """Pass on a line, count a trial, or raise what the worker has reported."""
        if "failed" in message:
            raise revive(message) from RuntimeError(f"in worker {self.task.worker}:\n{message['trace']}")
        self.done += int("done" in message)
        if "text" in message:
            yield self.say(message["text"], passing=message["passing"])

    def say(self, text: str, *, passing: bool = False) -> WorkerSaid:
        """Return a line with the worker's number."""
        return WorkerSaid(self.task.worker, f"[{self.task.worker}] {text}", passing)

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                try:
                    self.inbox.put((self, json.loads(line)))
                except ValueError:
                    continue  # cut off by death
        self.inbox.put((self, None))


def _stop(crew: Sequence[_Worker]) -> None:
    """Ask those who are still there to commit and leave; after a while, or at a second Ctrl-C, do not ask."""
    started = [worker for worker in crew if worker.starts]
    try:
        for worker in started:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in started:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=max(0.0, deadline - time.monotonic()))
    finally:
        for worker in started:
            worker.process.kill()  # who has left is not there to be killed
            worker.reap()
            worker.listener.join(timeout=1)


def revive(message: dict[str, Any]) -> Exception:
    """Return the error that a worker has reported, of its kind where it is one of ours."""
    kind = getattr(sbldm.errors, message["failed"], None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind(message["message"])
    return RuntimeError(f"{message['failed']}: {message['message']}")


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
