"""Processes of this machine."""

from collections.abc import Generator

from search.backends.order import Backend, Order
from search.workers import StillWorking, WorkerSaid, run_workers, share_out


def _run(order: Order) -> Generator[WorkerSaid | StillWorking, None, int]:
    tasks = share_out(order.task, order.trials, order.workers or 1)
    return (yield from run_workers(tasks, device=order.device))


LOCAL = Backend("local", check=lambda storage, tracking: None, run=_run)
