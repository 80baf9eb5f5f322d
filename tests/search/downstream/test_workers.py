import os
import subprocess
import sys
import time
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from sbldm.errors import ResourceError
from search.downstream.workers import choose_workers, work_through
from search.events import Progress

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _jobs_have_a_name_in_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


def writing(path: Path, **settings: Any) -> Any:
    """Return a job that a spawned process can import."""
    return import_module("writing_job").Writing(path, **settings)


def test_workers_are_as_many_as_asked_and_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert choose_workers(None, CPU) == (cores, 1)
    assert choose_workers(1, CPU) == (1, cores)
    assert choose_workers(10 * cores, CPU) == (10 * cores, 1)


def test_one_worker_is_this_process_and_counts_every_step(tmp_path: Path) -> None:
    jobs = [writing(tmp_path / str(number)) for number in range(2)]
    events = list(work_through(jobs, stage="s", workers=1, threads=1))
    assert events == [Progress("s", done, 6) for done in range(1, 7)]
    assert {job.path.read_text() for job in jobs} == {str(os.getpid())}


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    assert list(work_through([], stage="s", workers=4, threads=1)) == []


@pytest.mark.slow
def test_two_workers_do_all_jobs_in_processes_of_their_own(tmp_path: Path) -> None:
    jobs = [writing(tmp_path / str(number), seconds=0.05) for number in range(6)]
    events = list(work_through(jobs, stage="s", workers=2, threads=1))
    assert events[-1] == Progress("s", 18, 18)
    writers = {job.path.read_text() for job in jobs}
    assert str(os.getpid()) not in writers
    assert 1 <= len(writers) <= 2


@pytest.mark.slow
def test_stopping_ends_the_work_between_two_steps(tmp_path: Path) -> None:
    jobs = [writing(tmp_path / str(number), steps=1000, seconds=0.02) for number in range(3)]
    with closing(work_through(jobs, stage="s", workers=2, threads=1)) as events:
        while next(events).done == 0:
            pass
        started = time.monotonic()
    assert time.monotonic() - started < 5  # of the 60 s that the jobs would take
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told_in_one_line(tmp_path: Path) -> None:
    jobs = [writing(tmp_path / "a"), writing(tmp_path / "b", dies=True)]
    with pytest.raises(ResourceError, match=r"a process of the stage s was killed, .*lower the 2 workers"):
        list(work_through(jobs, stage="s", workers=2, threads=1))


@pytest.mark.slow
def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(HERE)!r}]\n"
        "from pathlib import Path\n"
        "from writing_job import Writing\n"
        "from search.downstream.workers import work_through\n"
        "if __name__ == '__main__':\n"
        "    jobs = [Writing(Path(sys.argv[1]) / f'job{n}', steps=100, seconds=0.03) for n in range(2)]\n"
        "    for event in work_through(jobs, stage='s', workers=2, threads=1):\n"
        "        print(event.done, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    while (line := parent.stdout.readline().strip()) == "0":
        pass
    assert int(line) > 0  # the workers have begun
    parent.kill()
    parent.wait()
    parent.stdout.close()
    time.sleep(4)  # the jobs would be done in 3
    assert not list(tmp_path.glob("job*"))
