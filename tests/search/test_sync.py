"""A record is completed, and runs say how they ended, whatever was killed or away."""

import os
from pathlib import Path
from typing import Any

import pytest

from search.locks import holding
from search.queue import TrialQueue
from search.sync import Synced, synchronize
from search.tracking import MEASURED, MlflowStore, Tags

NAME = "synced"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def begin(store: MlflowStore, name: str, kind: str = "run", **tags: str) -> str:
    return store.start(name, kind=kind, tags={f"sbldm.{key}": value for key, value in tags.items()})


def lock_of(home: Path, run_id: str) -> Path:
    return home / "cache" / "running" / f"{run_id}.lock"


def test_runs_without_a_process_say_how_they_ended_and_others_are_left(store: MlflowStore, home: Path) -> None:
    names = "done", "killed", "living", "elsewhere"
    done, killed, living, elsewhere = (begin(store, f"sync {name}") for name in names)
    store.keep(done, Tags({MEASURED: "true"}))
    for run_id in (done, killed):
        with holding(lock_of(home, run_id)):
            pass
    with holding(lock_of(home, living)):
        synced = synchronize(home, store)
    assert synced.ended == {"sync done": "FINISHED", "sync killed": "KILLED"}
    assert "sync elsewhere" in synced.left
    assert "sync living" not in synced.left
    assert [store.find(run_id).status for run_id in (done, killed, living, elsewhere)] == [
        "FINISHED",
        "KILLED",
        "RUNNING",
        "RUNNING",
    ]
    assert synchronize(home, store).ended == {"sync living": "KILLED"}, "it ended in the meantime"
    assert synchronize(home, store).ended == {}
    store.close_abandoned([elsewhere])


def test_a_trial_is_running_while_its_worker_holds_it(store: MlflowStore, home: Path) -> None:
    queue = TrialQueue(home, NAME)
    queue.enqueue([{"key": key, "cell": key, "seed": 0} for key in ("a", "b")])
    parent = begin(store, "sync study", "study", study=NAME)
    runs = [begin(store, f"sync trial {key}", "trial", study=NAME) for key in ("a", "b")]
    leases = [queue.next() for _ in runs]
    for lease, run_id in zip(leases, runs, strict=True):
        assert lease is not None
        lease.trial.set_user_attr("run", run_id)
    assert leases[0] is not None
    leases[0].free()  # as death does
    assert synchronize(home, store).ended == {"sync trial a": "KILLED"}
    assert [store.find(run_id).status for run_id in (parent, *runs)] == ["RUNNING", "KILLED", "RUNNING"]
    assert leases[1] is not None
    leases[1].free()
    synced = synchronize(home, store)
    assert synced.ended == {"sync study": "KILLED", "sync trial b": "KILLED"}
    assert queue.counts()["WAITING"] == 2, "both are to be run again"
    assert synchronize(home, store).ended == {}


def test_what_waits_is_told_and_what_waits_for_others_is_named(store: MlflowStore, home: Path) -> None:
    run_id = begin(store, "sync waiting")
    writer = MlflowStore(home, store.uri)
    tracker = writer.tracker(run_id)
    writer.settle(60)
    writer._courier._take = lambda items: None  # type: ignore[method-assign]  # nobody delivers any more
    other = home / "spool" / "another" / "run"
    other.mkdir(parents=True)
    (other / "1.jsonl").write_text("")
    tracker.log(Tags({MEASURED: "true"}))
    for journal in tracker._journals:
        os.close(journal._descriptor)
    synced = synchronize(home, MlflowStore(home, store.uri))
    assert (synced.told, synced.waiting, synced.elsewhere) == (1, 0, 1)
    assert store.find(run_id).tags[MEASURED] == "true"
    store.close_abandoned([run_id])


def test_what_was_done_is_said_in_words() -> None:
    told: Any = Synced(told=2, waiting=0, ended={"a": "KILLED"}, left=("b",), moved=3, elsewhere=1).lines()
    assert len(told) == 5
    assert told[0] == "a: its process is gone; KILLED"
    assert told[-1] == "records completed: 2; entries that still wait: 0"
