"""Trainings side by side in processes of their own; asked to stop, each stops between two of its steps."""

import os
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for_any
from threading import Thread
from typing import Any, Protocol, runtime_checkable

import torch

from sbldm.errors import ResourceError
from search.events import Progress

LOOK_SECONDS = 0.5


@runtime_checkable
class Job(Protocol):
    """Work that leaves its result in the cache, counted in steps; it is sent to another process."""

    @property
    def steps(self) -> int:
        """Return how many steps it will report."""
        ...

    def run(self) -> Generator[int, None, None]:
        """Work, and yield how many steps have been done since the last time."""
        ...


class _Stop(Exception):  # noqa: N818 - what was asked for is no error
    """The process that gave the work has asked to stop."""


def choose_workers(asked: int | None, device: torch.device) -> tuple[int, int]:
    """Return how many processes, and how many threads each may use: by default one per core, or one per GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = asked or (torch.cuda.device_count() if device.type == "cuda" else cores)
    return workers, max(1, cores // workers)


def work_through(jobs: Sequence[Job], *, stage: str, workers: int, threads: int) -> Generator[Progress, None, None]:
    """Do all jobs, and yield how far they are together.

    Raises:
        ResourceError: a process was killed, as for want of memory; what was finished is kept.
    """
    total = sum(job.steps for job in jobs)
    if workers == 1 or len(jobs) < 2:
        yield from _one_by_one(jobs, stage, total)
    else:
        yield from _side_by_side(jobs, stage, total, min(workers, len(jobs)), threads)


def _one_by_one(jobs: Sequence[Job], stage: str, total: int) -> Generator[Progress, None, None]:
    done = 0
    for job in jobs:
        for steps in job.run():
            done += steps
            yield Progress(stage, done, total)


def _side_by_side(
    jobs: Sequence[Job], stage: str, total: int, workers: int, threads: int
) -> Generator[Progress, None, None]:
    context = get_context("spawn")  # a fork of a process that has threads may hang
    shared = _Shared(context.Value("q", 0), context.Value("q", 0), context.Event(), threads)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(shared,))
    try:
        waiting = {pool.submit(_work, job) for job in jobs}
        while waiting:
            finished, waiting = wait(waiting, timeout=LOOK_SECONDS, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
            yield Progress(stage, shared.done.value, total)
    except BrokenProcessPool as error:
        raise ResourceError(
            f"a process of the stage {stage} was killed, perhaps for want of memory: lower the {workers} workers;"
            " what was finished is kept"
        ) from error
    finally:
        shared.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Shared:
    """What all processes see: steps done, processes begun, whether to stop; and the threads of each."""

    done: Any
    begun: Any
    stop: Any
    threads: int


_mine: _Shared | None = None


def _begin(shared: _Shared) -> None:
    """Make a fresh process ready: Ctrl-C is the parent's affair, and it does not outlive the parent."""
    global _mine
    _mine = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(shared.threads)
    with shared.begun.get_lock():
        number = shared.begun.value
        shared.begun.value += 1
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


def _work(job: Job) -> None:
    assert _mine is not None, "the initializer has run"
    for steps in job.run():
        with _mine.done.get_lock():
            _mine.done.value += steps
        if _mine.stop.is_set():
            raise _Stop
