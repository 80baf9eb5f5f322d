"""A tracking store that is away, fails or is slow never stops a training, and its record is complete in the end."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sbldm.errors import RunError, StorageError
from search.tracking import Artifact, Document, MlflowStore, Params, Picture, Scalar, Tags
from search.tracking.delivery import LOCAL, local_id
from search.tracking.entries import Entry
from search.tracking.mlflow_client import Rest


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "report.html").write_text("report")
    Image.new("L", (4, 4), 128).save(folder / "samples.png")
    return folder


def log_all(store: MlflowStore, run_id: str, files: Path, steps: int = 20) -> None:
    tracker = store.tracker(run_id)
    tracker.log(Params({"training.steps": str(steps)}))
    for step in range(steps):
        tracker.log(Scalar("loss", 1 / (step + 1), step))
    tracker.log(Tags({"fact": "true"}))
    tracker.log(Document("results.json", {"eval/fd": 1.5}))
    tracker.log(Picture("samples", files / "samples.png"))
    tracker.log(Artifact(files / "report.html", "report"))
    tracker.log(Artifact(files / "model.safetensors", "model"))
    tracker.finish("FINISHED")


def told(store: MlflowStore, run_id: str) -> dict[str, Any]:
    """Return all that a store holds of a run but its ids and times of day."""
    run = store._client.get_run(run_id)
    history = store._client.get_metric_history(run_id, "loss")
    return {
        "status": run.info.status,
        "params": run.data.params,
        "loss": [(each.step, each.value) for each in history],
        "tags": {
            key: value
            for key, value in run.data.tags.items()
            if key not in {"sbldm.uid", "sbldm.local", "mlflow.runName", "mlflow.parentRunId"}
        },
        "document": store.document(run_id, "results.json"),
        "files": [path for folder in ("model", "report", "pictures") for path in store.names(run_id, folder)],
        "images": sorted(path.split("+")[0] + path[path.rindex(".") :] for path in store.names(run_id, "images")),
    }


def named(store: MlflowStore, name: str) -> list[str]:
    return [run.run_id for run in store.runs() if run.name == name]


def die(store: MlflowStore) -> None:
    """Leave behind what a killed process does: its journals, and no lock."""
    store._courier._pending.clear()
    for tracker in store._trackers:
        for journal in tracker._journals:
            os.close(journal._descriptor)


def arrive(store: MlflowStore) -> int:
    """Wait for what was logged; an attempt that began while the store was away may fail once more."""
    for _ in range(20):
        if store.settle(60) == 0:
            return 0
        time.sleep(0.1)
    return store.settle(0)


def test_a_store_away_from_start_to_end_gets_the_same_record_later(
    store: MlflowStore, gate: Any, tmp_path: Path, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = store.start("there", kind="run", tags={"own": "tag"})
    log_all(store, plain, files)

    gate.is_open = False
    begun = time.monotonic()
    away = MlflowStore(tmp_path / "home", store.uri, may_wait=True)
    study = away.start("away, above", kind="study")
    run_id = away.start("away", kind="run", tags={"own": "tag"}, parent=study)
    assert run_id.startswith(LOCAL)
    assert away.holds(run_id)
    log_all(away, run_id, files)
    assert time.monotonic() - begun < 5
    (warning,) = caplog.records
    assert "sbldm sync" in warning.getMessage()
    assert len(warning.getMessage().splitlines()) == 1
    assert "entries wait for the tracking store; `sbldm sync`, then `sbldm runs`" in away.backlog("sbldm runs")
    (files / "model.safetensors").unlink()
    (files / "report.html").write_text("another run's report")

    gate.is_open = True
    assert arrive(away) == 0
    assert away.backlog("sbldm runs") == ""
    (real,) = named(store, "away")
    assert told(store, real) == told(store, plain)
    assert store.find(real).tags["mlflow.parentRunId"] == named(store, "away, above")[0]
    assert store.fetch(real, "report", tmp_path).joinpath("report.html").read_text() == "report"
    assert away.find(run_id).run_id == real
    assert away.holds(run_id)
    assert [path for path in away.spool.rglob("*") if path.is_file()] == []


def test_a_store_lost_under_way_costs_no_step_and_no_second_run(
    behind: MlflowStore, gate: Any, store: MlflowStore, files: Path
) -> None:
    run_id = behind.start("lost", kind="run")
    behind.tracker(run_id).log(Scalar("loss", 2.0, 100))
    assert arrive(behind) == 0
    gate.is_open = False
    begun = time.monotonic()
    log_all(behind, run_id, files)
    assert time.monotonic() - begun < 5
    assert behind.settle(0.2) > 5
    gate.is_open = True
    assert arrive(behind) == 0
    assert named(store, "lost") == [run_id]
    found = told(store, run_id)
    assert found["status"] == "FINISHED"
    assert sorted(step for step, _ in found["loss"]) == [*range(20), 100]


def test_numbers_keep_the_moment_at_which_they_were_logged(behind: MlflowStore, gate: Any, store: MlflowStore) -> None:
    run_id = behind.start("moments", kind="run")
    gate.is_open = False
    tracker = behind.tracker(run_id)
    before = time.time()
    tracker.log(Scalar("loss", 1.0, 1))
    after = time.time()
    time.sleep(0.05)
    gate.is_open = True
    tracker.finish("FINISHED")
    assert arrive(behind) == 0
    (number,) = store._client.get_metric_history(run_id, "loss")
    assert before * 1000 - 1 <= number.timestamp <= after * 1000
    assert number.timestamp <= store._client.get_run(run_id).info.end_time


def test_a_slow_store_does_not_slow_a_training(behind: MlflowStore, gate: Any, store: MlflowStore) -> None:
    tracker = behind.tracker(behind.start("slow", kind="run"))
    assert arrive(behind) == 0
    gate.delay, asked = 0.4, gate.asked
    waited = 0.0
    for step in range(150):
        begun = time.perf_counter()
        tracker.log(Scalar("loss", 0.5, step))
        waited += time.perf_counter() - begun
        time.sleep(0.005)
    assert gate.asked > asked, "the store was told in the meantime"
    assert waited < 0.4, "less than one answer takes"
    gate.delay = 0.0
    tracker.finish("FINISHED")
    assert arrive(behind) == 0
    assert len(store._client.get_metric_history(tracker.run_id, "loss")) == 150


@pytest.mark.parametrize("waited", [0.01, 0.5, 2.0, 10.0])
def test_a_store_that_fails_keeps_us_waiting_two_seconds_a_minute_at_most(waited: float) -> None:
    rest = Rest()
    rest.begin(waited)
    assert not rest.is_over()
    assert waited / (waited + rest.seconds) <= 2 / 60


def test_a_store_that_has_failed_is_left_alone_for_a_while(behind: MlflowStore, gate: Any) -> None:
    behind._client._rest.begin(10.0)
    asked = gate.asked
    with pytest.raises(StorageError, match="the tracking store does not answer"):
        behind.runs()
    assert behind.holds("0" * 32), "not known to be gone"
    assert gate.asked == asked
    behind._client._rest.end()
    assert not behind.holds("0" * 32)


def test_entries_told_twice_are_there_once(behind: MlflowStore, store: MlflowStore, files: Path) -> None:
    run_id = behind.start("twice", kind="run")
    groups: list[list[Entry]] = []
    deliver = behind._courier._deliver

    def twice(group: list[Entry]) -> None:
        groups.append(group)
        deliver(group)
        deliver(group)

    behind._courier._deliver = twice
    log_all(behind, run_id, files)
    assert arrive(behind) == 0
    expected = told(store, run_id)
    assert len(expected["images"]) == 2, "one picture, and its small copy"
    assert len(expected["loss"]) == 20
    for group in groups:  # all of it again, long after, as by a process that died before it could forget
        if not isinstance(group[0].what, Picture | Artifact):  # whose files are gone
            deliver(group)
    assert told(store, run_id) == expected


def test_what_a_killed_process_left_is_taken_up_by_the_next(gate: Any, store: MlflowStore, tmp_path: Path) -> None:
    gate.is_open = False
    for _ in range(2):  # killed, started again, and killed again
        killed = MlflowStore(tmp_path / "home", store.uri, may_wait=True)
        run_id = killed.start("killed", kind="run", tags={"sbldm.uid": "one"})
        tracker = killed.tracker(run_id)
        for step in range(5):
            tracker.log(Scalar("loss", 1.0, step))
        tracker.log(Tags({"sbldm.measured": "true"}))
        killed.settle(0.1)
        assert run_id == local_id("one")
        die(killed)
    gate.is_open = True
    after = MlflowStore(tmp_path / "home", store.uri)
    assert after.catch_up() == 1
    assert arrive(after) == 0
    (real,) = named(store, "killed")
    assert store.find(real).status == "RUNNING"
    assert sorted(each.step for each in store._client.get_metric_history(real, "loss")) == list(range(5))
    after.close_abandoned([run_id])
    assert store.find(real).status == "FINISHED", "all its results are there"
    assert after.catch_up() == 0
    assert [path for path in after.spool.rglob("*") if path.is_file()] == []


def test_a_line_cut_off_by_death_is_not_there(gate: Any, store: MlflowStore, tmp_path: Path) -> None:
    killed = MlflowStore(tmp_path / "home", store.uri, may_wait=True)
    run_id = killed.start("torn", kind="run")
    gate.is_open = False
    tracker = killed.tracker(run_id)
    tracker.log(Scalar("loss", 1.0, 1))
    die(killed)
    (journal,) = killed.spool.rglob("*.jsonl")
    with journal.open("a") as file:
        file.write('{"run": "torn')
    gate.is_open = True
    after = MlflowStore(tmp_path / "home", store.uri)
    after.catch_up()
    assert arrive(after) == 0
    assert store.find(run_id).metrics == {"loss": 1.0}


def test_what_happened_before_does_not_undo_what_is_known_later(
    behind: MlflowStore, store: MlflowStore, gate: Any, tmp_path: Path
) -> None:
    gate.is_open = False
    run_id = store.start("late", kind="run")
    behind.tracker(run_id).finish("KILLED")
    store.tracker(run_id).finish("FINISHED")
    gate.is_open = True
    assert arrive(behind) == 0
    assert store.find(run_id).status == "FINISHED"


def test_what_a_store_never_takes_is_set_aside_and_the_rest_arrives(
    behind: MlflowStore, store: MlflowStore, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = behind.start("refused", kind="run")
    tracker = behind.tracker(run_id)
    for name in ("good", "bad[%]", "better"):
        tracker.log(Scalar(name, 1.0))
    tracker.finish("FINISHED")
    assert set(store.find(run_id).metrics) == {"good", "better"}
    assert "bad[%]" in (behind.spool / run_id / "refused.txt").read_text()
    assert "refuses" in caplog.text


def test_another_process_may_write_of_the_same_run(behind: MlflowStore, store: MlflowStore) -> None:
    run_id = store.start("shared", kind="run")
    mine, other = behind.tracker(run_id), MlflowStore(behind.home, store.uri).tracker(run_id)
    mine.log(Scalar("mine", 1.0))
    other.log(Scalar("other", 2.0))
    other.finish("KILLED")
    mine.finish("FINISHED")
    found = store.find(run_id)
    assert (found.metrics, found.status) == ({"mine": 1.0, "other": 2.0}, "FINISHED")


def test_a_server_that_is_read_must_answer_and_its_password_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9: the tracking store does not answer") as refusal:
        MlflowStore(tmp_path, "http://user:secret@127.0.0.1:9")
    assert "secret" not in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_missing_artifact_is_no_outage(behind: MlflowStore, tmp_path: Path) -> None:
    run_id = behind.start("bare", kind="run")
    with pytest.raises(RunError):
        behind.fetch(run_id, "absent", tmp_path)
    assert behind._client._rest.is_over()
