"""The machines of a Ray cluster, one trial at a time on each GPU or share of cores; Ray is loaded when it is asked for.

Ray's own retries are off: it could begin a task again whose trial has just been counted. A dead worker's trial waits
again as soon as its lock is free, and another worker takes it.
"""

import json
import sys
import time
from collections.abc import Generator
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from queue import Empty
from typing import Any

from sbldm.errors import ConfigError
from search.backends.cluster import Seats, divide_cluster
from search.backends.order import Backend, Order
from search.backends.ray_connection import join_cluster, machines
from search.workers import GRACE_SECONDS, MOST_RESTARTS, TICK_SECONDS, StillWorking, WorkerSaid, revive

MANY = 10_000


def check_ray(storage: str | None, tracking: str) -> None:
    """Join the cluster, and refuse what cannot work there.

    Raises:
        ConfigError: Ray is not installed, or files of one machine are to serve several.
        ResourceError: the cluster does not answer.
    """
    count = len(machines(join_cluster()))
    if count > 1 and storage is None:
        raise ConfigError(f"a Ray cluster of {count} machines needs --storage postgresql://USER@HOST/DATABASE")
    if count > 1 and tracking.startswith("sqlite:"):
        raise ConfigError(f"a Ray cluster of {count} machines needs --tracking-uri, the address of an MLflow server")


def run_on_ray(order: Order) -> Generator[WorkerSaid | StillWorking, None, int]:
    """Keep as many trials running as the cluster has room for, and return how many workers died too often."""
    from ray.util.queue import Queue

    ray = join_cluster()
    seats = divide_cluster(machines(ray), workers=order.workers, device=order.device)
    task = replace(order.task, home=str(Path(order.task.home).resolve()), trials=1)
    crew = _Crew(ray, replace(order, task=task), seats, Queue(MANY, actor_options={"num_cpus": 0}))
    with redirect_stdout(sys.stderr):  # Ray prints there what befell its processes
        try:
            yield from crew.work()
        finally:
            crew.stop()
    return crew.lost


@dataclass(eq=False)
class _Crew:
    """Seats, and the Ray task that sits on each: every task is one trial."""

    ray: Any
    order: Order
    seats: Seats
    mailbox: Any
    free: list[int] = field(init=False)
    seated: dict[Any, int] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    deaths: dict[int, int] = field(default_factory=dict)
    done: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        from search.backends.ray_task import run_next

        self.free = list(range(1, self.seats.count + 1))
        resources = {"num_cpus": self.seats.cores, "num_gpus": self.seats.gpus}
        self.remote = self.ray.remote(max_retries=0, **resources)(run_next)

    def work(self) -> Generator[WorkerSaid | StillWorking, None, None]:
        """Seat a task for each trial that waits, and hear them, until none waits."""
        self._seat()
        while self.seated:
            ended, _ = self.ray.wait(list(self.seated), timeout=TICK_SECONDS)
            yield from self._hear()
            for task in ended:
                yield from self._reap(task)
            if ended:
                self._seat()
            yield StillWorking()

    def stop(self) -> None:
        """Ask those who still work to commit and leave; after a while, or at a second Ctrl-C, do not ask."""
        deadline, left = time.monotonic() + GRACE_SECONDS, list(self.seated)
        try:
            for task in left:
                self.ray.cancel(task)
            while left and time.monotonic() < deadline:
                _, left = self.ray.wait(left, num_returns=len(left), timeout=TICK_SECONDS)
        finally:
            for task in left:
                self.ray.cancel(task, force=True)
            self.mailbox.shutdown(force=True)

    def _seat(self) -> None:
        """Give a seat to each trial that waits and that no task has been sent for yet, until the time is over."""
        if self.order.task.until is not None and time.time() >= self.order.task.until:
            return
        sent = sum(seat not in self.begun for seat in self.seated.values())
        wanted = self.order.waiting() - sent
        if self.order.trials is not None:
            wanted = min(wanted, self.order.trials - self.done - len(self.seated))
        words = json.dumps(asdict(self.order.task))
        for seat in self.free[: max(0, wanted)]:
            self.free.remove(seat)
            self.begun.discard(seat)
            self.seated[self.remote.remote(words, seat, self.seats.cores, str(Path.cwd()), self.mailbox)] = seat

    def _hear(self) -> Generator[WorkerSaid, None, None]:
        """Pass on lines, count trials, or raise what a worker has reported."""
        with suppress(Empty):
            while True:
                seat, words = self.mailbox.get_nowait()
                message = json.loads(words)
                if "failed" in message:
                    raise revive(message) from RuntimeError(f"in worker {seat}:\n{message['trace']}")
                self.done += int("done" in message)
                if "begun" in message:
                    self.begun.add(seat)
                if "text" in message:
                    yield WorkerSaid(seat, f"[{seat}] {message['text'].lstrip()}", message["passing"])

    def _reap(self, task: Any) -> Generator[WorkerSaid, None, None]:
        """Free the seat of a task that has ended; one whose tasks always die is taken by no other."""
        seat = self.seated.pop(task)
        try:
            self.ray.get(task)
        except self.ray.exceptions.RayTaskError as error:  # it could not even begin
            reason = str(error).strip().splitlines()[-1]
            raise ConfigError(f"a machine of the Ray cluster cannot work at a trial ({reason})") from error
        except self.ray.exceptions.RayError as error:
            self.deaths[seat] = self.deaths.get(seat, 0) + 1
            is_last = self.deaths[seat] > MOST_RESTARTS
            what = "no other takes its place" if is_last else "another takes its place"
            yield WorkerSaid(seat, f"[{seat}] died ({type(error).__name__}); {what}", passing=False)
            if is_last:
                self.lost += 1
                return
        self.free.append(seat)


RAY = Backend("ray", check=check_ray, run=run_on_ray)
