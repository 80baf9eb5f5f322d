import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from sbldm.errors import RunError, StorageError
from search.queue import MOST_RETRIES, Lease, TrialQueue

HOLD = """
import sys, time
from pathlib import Path
from search.queue import TrialQueue
lease = TrialQueue(Path(sys.argv[1]), "study").next()
lease.trial.set_user_attr("run", "run-of-the-dead")
print(lease.trial.number, flush=True)
time.sleep(120)
"""
WORK = """
import os, random, sys, time
from pathlib import Path
from search.queue import TrialQueue
home, number = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(number)
queue = TrialQueue(home, "study")
queue.enqueue([{"key": key, "seed": seed} for key in "abcd" for seed in range(3)])
while lease := queue.next():
    time.sleep(0.02)
    if chance.random() < 0.15 and lease.attributes.get("crashes", 0) < 2:
        os.kill(os.getpid(), 9)
    with (home / "done.txt").open("a") as log:
        log.write(f"{lease.attributes['key']} {lease.attributes['seed']}\\n")
    queue.complete(lease, 1.0)
"""


def planned(count: int) -> list[dict[str, Any]]:
    return [{"key": "cell", "seed": seed} for seed in range(count)]


def take(queue: TrialQueue) -> Lease:
    lease = queue.next()
    assert lease is not None
    return lease


def crash(lease: Lease) -> None:
    """Do what the kernel does when a worker dies: free its lock, and nothing else."""
    lease.free()


@pytest.fixture
def queue(tmp_path: Path) -> TrialQueue:
    return TrialQueue(tmp_path, "study")


def test_a_trial_is_queued_once_however_often_it_is_planned(queue: TrialQueue, tmp_path: Path) -> None:
    queue.enqueue(planned(2))
    queue.enqueue(planned(3))
    TrialQueue(tmp_path, "study").enqueue(planned(3))
    queue.complete(take(queue), 1.0)
    queue.enqueue(planned(3))
    assert queue.counts() == {"COMPLETE": 1, "PRUNED": 0, "RUNNING": 0, "WAITING": 2, "FAILED": 0}


def test_a_trial_is_known_by_key_and_seed_together(queue: TrialQueue) -> None:
    queue.enqueue([{"key": key, "seed": seed} for key in "ab" for seed in (0, 1)])
    assert queue.counts()["WAITING"] == 4


def test_each_trial_is_taken_once_in_the_order_it_was_planned(queue: TrialQueue, tmp_path: Path) -> None:
    queue.enqueue(planned(3))
    other = TrialQueue(tmp_path, "study")
    leases = [take(queue), take(other), take(queue)]
    assert [lease.attributes["seed"] for lease in leases] == [0, 1, 2]
    assert other.next() is None
    assert queue.next() is None
    assert queue.counts() == {"COMPLETE": 0, "PRUNED": 0, "RUNNING": 3, "WAITING": 0, "FAILED": 0}


def test_two_studies_in_one_database_do_not_mix(queue: TrialQueue, tmp_path: Path) -> None:
    queue.enqueue(planned(2))
    other = TrialQueue(tmp_path, "another")
    assert other.next() is None
    other.enqueue(planned(1))
    held = take(other)
    assert take(queue).trial.number == held.trial.number == 0


def test_a_completed_trial_keeps_its_value(queue: TrialQueue) -> None:
    queue.enqueue(planned(1))
    queue.complete(take(queue), 12.5)
    assert queue.study.best_trial.values == [12.5]
    assert queue.study.best_trial.user_attrs["key"] == "cell"
    assert queue.next() is None


def test_a_dead_workers_trial_has_one_copy_that_keeps_key_seed_and_run(queue: TrialQueue, tmp_path: Path) -> None:
    queue.enqueue([{"key": "cell", "seed": 7, "cell": "label"}])
    lease = take(queue)
    lease.trial.set_user_attr("run", "r1")
    crash(lease)
    copy = take(TrialQueue(tmp_path, "study"))
    assert copy.attributes == {"key": "cell", "seed": 7, "cell": "label", "run": "r1", "retry_of": 0, "crashes": 1}
    assert queue.next() is None
    assert len(queue.study.get_trials()) == 2
    assert queue.study.get_trials()[0].state == TrialState.FAIL


def test_a_living_workers_trial_is_left_alone(queue: TrialQueue, tmp_path: Path) -> None:
    queue.enqueue(planned(1))
    lease = take(queue)
    assert TrialQueue(tmp_path, "study").next() is None
    queue.complete(lease, 1.0)
    assert len(queue.study.get_trials()) == 1


def test_a_killed_process_is_replaced_by_exactly_one_copy(queue: TrialQueue, tmp_path: Path) -> None:
    queue.enqueue(planned(1))
    worker = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "0\n"
    assert queue.next() is None
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=30)
    copy = take(queue)
    assert (copy.attributes["seed"], copy.attributes["run"]) == (0, "run-of-the-dead")
    assert queue.next() is None
    assert queue.counts() == {"COMPLETE": 0, "PRUNED": 0, "RUNNING": 1, "WAITING": 0, "FAILED": 0}


def test_a_trial_that_failed_for_good_is_not_tried_again(queue: TrialQueue, tmp_path: Path) -> None:
    queue.enqueue(planned(1))
    queue.fail(take(queue), "diverged", retry=False)
    assert queue.next() is None
    other = TrialQueue(tmp_path, "study")
    other.enqueue(planned(1))
    assert other.next() is None
    assert other.counts()["FAILED"] == 1


def test_a_stopped_trial_is_tried_again_as_often_as_it_is_stopped(queue: TrialQueue) -> None:
    queue.enqueue(planned(1))
    for _ in range(MOST_RETRIES + 3):
        lease = take(queue)
        assert lease.attributes.get("crashes", 0) == 0
        assert "stopped" not in lease.attributes
        queue.fail(lease, "stopped by the user", retry=True)
    queue.complete(take(queue), 1.0)
    assert queue.counts() == {"COMPLETE": 1, "PRUNED": 0, "RUNNING": 0, "WAITING": 0, "FAILED": 0}


def test_a_trial_that_always_kills_its_worker_is_given_up_after_four(queue: TrialQueue) -> None:
    queue.enqueue(planned(1))
    for crashes in range(4):
        lease = take(queue)
        assert lease.attributes.get("crashes", 0) == crashes
        crash(lease)
    assert queue.next() is None
    assert len(queue.study.get_trials()) == 4


def test_a_stop_between_crashes_does_not_forgive_them(queue: TrialQueue) -> None:
    queue.enqueue(planned(1))
    crash(take(queue))
    queue.fail(take(queue), "stopped by the user", retry=True)
    assert take(queue).attributes["crashes"] == 1


def test_a_trial_that_was_given_up_is_counted_as_failed_with_its_run(queue: TrialQueue) -> None:
    queue.enqueue(planned(1))
    for _ in range(MOST_RETRIES + 1):
        lease = take(queue)
        lease.trial.set_user_attr("run", "r1")
        crash(lease)
    assert queue.next() is None
    assert queue.counts()["FAILED"] == 1
    assert [lost["run"] for lost in queue.given_up()] == ["r1"]


def test_the_first_facts_are_remembered_and_others_refused_by_name(queue: TrialQueue, tmp_path: Path) -> None:
    queue.check_same({"training.steps": "5", "device": "cpu"})
    queue.check_same({"device": "cpu", "training.steps": "5"})
    other = TrialQueue(tmp_path, "study")
    with pytest.raises(RunError, match=r"training\.steps was 5, is 6.*--name") as refusal:
        other.check_same({"training.steps": "6", "device": "cpu"})
    assert "device" not in str(refusal.value)
    with pytest.raises(RunError, match=r"device was cpu, is None; new was None, is 1"):
        other.check_same({"training.steps": "5", "new": "1"})
    TrialQueue(tmp_path, "another").check_same({"training.steps": "6"})


def test_a_broken_database_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "optuna.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match=r"optuna\.db") as refusal:
        TrialQueue(tmp_path, "study")
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.slow  # about ten workers, each of which imports Optuna
def test_workers_that_are_killed_at_random_complete_each_trial_once(tmp_path: Path) -> None:
    starts, kills, running = 0, 0, []
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        while len(running) < 3 and starts < 30:
            running.append(subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path), str(starts)]))
            starts += 1
        time.sleep(0.1)
        ended = [worker for worker in running if worker.poll() is not None]
        running = [worker for worker in running if worker not in ended]
        kills += sum(worker.returncode == -signal.SIGKILL for worker in ended)
        if any(worker.returncode == 0 for worker in ended):
            break
    for worker in running:
        worker.wait(timeout=60)
    queue = TrialQueue(tmp_path, "study")
    while lease := queue.next():  # what the last of the killed left behind
        with (tmp_path / "done.txt").open("a") as log:
            log.write(f"{lease.attributes['key']} {lease.attributes['seed']}\n")
        queue.complete(lease, 1.0)
    done = Counter((tmp_path / "done.txt").read_text().splitlines())
    assert kills > 0
    assert done == Counter(f"{key} {seed}" for key in "abcd" for seed in range(3))
    assert queue.counts() == {"COMPLETE": 12, "PRUNED": 0, "RUNNING": 0, "WAITING": 0, "FAILED": 0}
