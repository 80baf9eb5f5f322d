"""On a real PostgreSQL server, started here; skipped where the machine has none."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sbldm.errors import StorageError
from search.postgres import PostgresLocks
from search.queue import Lease, TrialQueue
from search.storage import check_storage
from search.study_locks import StudyLocks

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from postgres_server import running_server, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

HOLD = """
import sys, time
from pathlib import Path
from search.queue import TrialQueue
lease = TrialQueue(Path(sys.argv[1]), "study", sys.argv[2]).next()
lease.trial.set_user_attr("run", "run-of-the-dead")
print(lease.trial.number, flush=True)
time.sleep(120)
"""
FIRST_USE = """
import sys
from pathlib import Path
from search.queue import TrialQueue
TrialQueue(Path(sys.argv[1]), "study", sys.argv[2]).enqueue([{"key": "cell", "seed": 0}, {"key": "cell", "seed": 1}])
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """Return the address of an empty database of the test's own."""
    name = f"db{abs(hash(request.node.name))}"
    run_sql(server, f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


def run_sql(url: str, command: str) -> list[Any]:
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        found = session.execute(command)  # type: ignore[arg-type]
        return found.fetchall() if found.description else []


def planned(count: int) -> list[dict[str, Any]]:
    return [{"key": "cell", "seed": seed} for seed in range(count)]


def take(queue: TrialQueue) -> Lease:
    lease = queue.next()
    assert lease is not None
    return lease


def cut_off(queue: TrialQueue) -> None:
    """Do what a server does that is restarted, or takes a client for dead: end the session, and with it its locks."""
    session = queue._locks._session  # type: ignore[attr-defined]
    run_sql(queue._locks._url, f"SELECT pg_terminate_backend({session.info.backend_pid})")  # type: ignore[attr-defined]


def test_locks_on_a_server_are_study_locks(url: str) -> None:
    assert isinstance(PostgresLocks(url, "study"), StudyLocks)


def test_a_trials_lock_is_given_once_even_to_its_holder(url: str) -> None:
    mine, other = PostgresLocks(url, "study"), PostgresLocks(url, "study")
    free = mine.try_trial(3)
    assert free is not None
    assert mine.try_trial(3) is None
    assert other.try_trial(3) is None
    assert other.try_trial(4) is not None
    assert PostgresLocks(url, "another").try_trial(3) is not None
    free()
    assert other.try_trial(3) is not None


def test_the_end_of_a_session_frees_its_locks(url: str) -> None:
    mine, other = PostgresLocks(url, "study"), PostgresLocks(url, "study")
    assert mine.try_trial(0) is not None
    mine.close()
    deadline = time.monotonic() + 10
    while (free := other.try_trial(0)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert free is not None


def test_one_worker_at_a_time_has_the_mutex(url: str) -> None:
    mine, other = PostgresLocks(url, "study"), PostgresLocks(url, "study")
    with mine.mutex():
        held = run_sql(url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        assert held == [(1,)]
        other._session.execute("SET lock_timeout = '100ms'")
        with pytest.raises(StorageError, match="lock timeout"), other.mutex():
            raise AssertionError("two at once")
    with other.mutex():
        pass


def test_trials_on_a_server_are_queued_once_and_taken_in_order(url: str, tmp_path: Path) -> None:
    queue, other = TrialQueue(tmp_path, "study", url), TrialQueue(tmp_path, "study", url)
    queue.enqueue(planned(2))
    other.enqueue(planned(3))
    leases = [take(queue), take(other), take(queue)]
    assert [lease.attributes["seed"] for lease in leases] == [0, 1, 2]
    assert other.next() is None
    assert queue.complete(leases[0], 2.5)
    assert other.complete(leases[1], 1.5)
    assert queue.study.best_trial.values == [1.5]
    assert queue.counts() == {"COMPLETE": 2, "PRUNED": 0, "RUNNING": 1, "WAITING": 0, "FAILED": 0}
    assert list(tmp_path.iterdir()) == [], "a study on a server leaves nothing here"


def test_a_killed_worker_is_replaced_by_exactly_one_copy(url: str, tmp_path: Path) -> None:
    queue = TrialQueue(tmp_path, "study", url)
    queue.enqueue(planned(1))
    worker = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), url], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "0\n"
    assert queue.next() is None
    worker.send_signal(signal.SIGSTOP)  # however long it sleeps, it is not dead
    assert queue.next() is None
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while (copy := queue.next()) is None and time.monotonic() < deadline:
        time.sleep(0.05)  # the server notices in its own time
    assert copy is not None
    assert copy.attributes == {"key": "cell", "seed": 0, "run": "run-of-the-dead", "retry_of": 0, "crashes": 1}
    assert queue.next() is None


def test_a_worker_that_was_cut_off_completes_its_trial_if_no_other_has_it(url: str, tmp_path: Path) -> None:
    queue = TrialQueue(tmp_path, "study", url)
    queue.enqueue(planned(1))
    lease = take(queue)
    cut_off(queue)
    assert queue.complete(lease, 1.0)
    assert queue.counts() == {"COMPLETE": 1, "PRUNED": 0, "RUNNING": 0, "WAITING": 0, "FAILED": 0}


def test_a_worker_that_was_cut_off_and_replaced_is_not_counted(url: str, tmp_path: Path) -> None:
    queue, other = TrialQueue(tmp_path, "study", url), TrialQueue(tmp_path, "study", url)
    queue.enqueue(planned(1))
    lease = take(queue)
    cut_off(queue)
    copy = take(other)
    assert not queue.complete(lease, 1.0)
    queue.fail(lease, "stopped", retry=True)
    assert other.complete(copy, 2.0)
    assert queue.counts() == {"COMPLETE": 1, "PRUNED": 0, "RUNNING": 0, "WAITING": 0, "FAILED": 0}
    assert queue.study.best_trial.values == [2.0]


def test_many_workers_may_use_an_empty_database_first(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST_USE, str(tmp_path), url]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, told
    assert TrialQueue(tmp_path, "study", url).counts()["WAITING"] == 2


def test_a_database_that_is_not_there_is_refused_and_not_made(server: str, tmp_path: Path) -> None:
    wrong = server.replace("/postgres?", "/studdies?")
    for refuse in (lambda: check_storage(wrong), lambda: TrialQueue(tmp_path, "study", wrong)):
        with pytest.raises(StorageError, match='database "studdies" does not exist'):
            refuse()
    assert ("studdies",) not in run_sql(server, "SELECT datname FROM pg_database")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_password_is_refused_and_not_repeated(server: str, tmp_path: Path) -> None:
    secret = "hunter2@/:?"
    folder = Path(server.partition("host=")[2])
    access = folder / "data" / "pg_hba.conf"
    access.write_text("local all anna scram-sha-256\n" + access.read_text())
    run_sql(server, "CREATE ROLE anna LOGIN SUPERUSER PASSWORD 'right'")
    run_sql(server, "SELECT pg_reload_conf()")
    time.sleep(0.5)
    for written in (secret, quote(secret, safe="")):
        wrong = server.replace("sbldm@", f"anna:{written}@")
        with pytest.raises(StorageError, match="does not answer") as refusal:
            TrialQueue(tmp_path, "study", wrong)
        assert "hunter2" not in str(refusal.value)
    assert "password authentication failed" in str(refusal.value)
    check_storage(server.replace("sbldm@", "anna:right@"))
