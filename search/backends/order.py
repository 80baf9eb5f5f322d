"""What a backend is asked for, and what it must offer."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from sbldm.training import DeviceName
from search.workers import StillWorking, Task, WorkerSaid


@dataclass(frozen=True, eq=False)
class Order:
    """Work at one study until no trial waits.

    Attributes:
        task: what every worker is told.
        trials: stop after so many; None for all.
        workers: at a time; None where the backend knows best.
        device: what each trial computes on.
        waiting: returns how many trials nobody runs or has run now, those of dead workers too.
    """

    task: Task
    trials: int | None
    workers: int | None
    device: DeviceName
    waiting: Callable[[], int]


@dataclass(frozen=True)
class Backend:
    """One way to let several processes work at a study.

    Attributes:
        name: how the command line calls it.
        check: refuses, before anything is made, what cannot work; it is told the addresses of storage and tracking.
        run: yields what workers say and returns how many died too often to be replaced; closing it stops them all,
            each once its work is committed.
    """

    name: str
    check: Callable[[str | None, str], None]
    run: Callable[[Order], Generator[WorkerSaid | StillWorking, None, int]]
