import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from sbldm.errors import RunError, StorageError
from search.tracking import Artifact, Document, MlflowStore, Params, Picture, Scalar, Tags, Tracker
from search.tracking.courier import BATCH, SECONDS
from search.tracking.delivery import LONGEST_PARAM


def history(store: MlflowStore, run_id: str, name: str) -> list[tuple[int, float]]:
    database = sqlite3.connect(store.uri.removeprefix("sqlite:///"))
    rows = database.execute("SELECT step, value FROM metrics WHERE run_uuid=? AND key=? ORDER BY step", (run_id, name))
    found = rows.fetchall()
    database.close()
    return found


def test_a_tracker_of_the_store_is_a_tracker(store: MlflowStore) -> None:
    assert isinstance(store.tracker(store.start("tracker", kind="run")), Tracker)


def test_a_run_holds_what_was_logged(store: MlflowStore, tmp_path: Path) -> None:
    run_id = store.start("everything", kind="run", tags={"own": "tag"})
    tracker = store.tracker(run_id)
    (tmp_path / "weights.bin").write_bytes(b"\x00\x01")
    Image.new("L", (4, 4), 128).save(tmp_path / "gray.png")
    for item in (
        Params({"training.steps": "6", "empty": ""}),
        Tags({"fact": "true"}),
        Scalar("loss", 0.5, 1),
        Scalar("loss", 0.25, 2),
        Document("config.json", {"training": {"steps": 6}}),
        Artifact(tmp_path / "weights.bin", "model"),
        Picture("gray", tmp_path / "gray.png"),
    ):
        tracker.log(item)
    tracker.finish("FINISHED")
    run = store.find(run_id)
    assert (run.name, run.status, run.params) == ("everything", "FINISHED", {"training.steps": "6"})
    assert run.metrics == {"loss": 0.25}
    assert history(store, run_id, "loss") == [(1, 0.5), (2, 0.25)]
    assert run.tags.items() >= {"own": "tag", "fact": "true", "sbldm.kind": "run"}.items()
    assert store.document(run_id, "config.json") == {"training": {"steps": 6}}
    assert store.names(run_id, "model") == ["model/weights.bin"]
    assert store.fetch(run_id, "model", tmp_path / "..").joinpath("weights.bin").read_bytes() == b"\x00\x01"
    assert store.names(run_id, "pictures") == ["pictures/gray.png"]


def test_every_step_arrives_once_whatever_the_size_of_a_batch(store: MlflowStore) -> None:
    run_id = store.start("steps", kind="run")
    tracker = store.tracker(run_id)
    for step in range(2 * BATCH + 7):
        tracker.log(Scalar("loss", float(step), step))
    tracker.finish("FINISHED")
    assert history(store, run_id, "loss") == [(step, float(step)) for step in range(2 * BATCH + 7)]


def test_slow_steps_arrive_while_they_are_made(store: MlflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.start("slow", kind="run")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tracker = store.tracker(run_id)
    store.settle(10)
    arrived = []
    for step, at in enumerate((1, SECONDS - 1, SECONDS + 1, SECONDS + 2, 2 * SECONDS + 3)):
        now[0] = at
        tracker.log(Scalar("loss", 0.5, step))
        arrived.append(number_within_seconds(store, run_id, (0, 0, 3, 3, 5)[step]))
    tracker.finish("FINISHED")
    assert arrived == [0, 0, 3, 3, 5]


def number_within_seconds(store: MlflowStore, run_id: str, expected: int) -> int:
    """Return how many steps have arrived, after a while, or sooner where it is as many as expected."""
    for _ in range(40 if expected else 3):
        if expected and len(history(store, run_id, "loss")) == expected:
            break
        threading.Event().wait(0.05)  # no clock is asked
    return len(history(store, run_id, "loss"))


def test_a_resumed_run_repeats_no_step(store: MlflowStore) -> None:
    run_id = store.start("resumed", kind="run")
    for last in (5, 8):
        tracker = store.tracker(run_id)
        for step in range(last):
            tracker.log(Scalar("loss", step / 3, step))
        tracker.finish("KILLED")
    assert history(store, run_id, "loss") == [(step, step / 3) for step in range(8)]


def test_a_value_that_came_back_is_the_latest_word(store: MlflowStore) -> None:
    run_id = store.start("measured again", kind="run")
    for value in (1.0, 2.0, 1.0):
        tracker = store.tracker(run_id)
        tracker.log(Scalar("eval/fd", value))
        tracker.finish("FINISHED")
        time.sleep(0.002)  # MLflow orders by milliseconds
    assert store.find(run_id).metrics == {"eval/fd": 1.0}


def test_a_deleted_run_is_not_held(store: MlflowStore) -> None:
    kept, deleted = (store.start(name, kind="run") for name in ("kept", "deleted"))
    store._client.delete_run(deleted)
    assert [store.holds(run_id) for run_id in (kept, deleted, "0" * 32)] == [True, False, False]


def test_settings_logged_again_keep_their_first_value_and_long_ones_stay_out(store: MlflowStore) -> None:
    run_id = store.start("twice", kind="run")
    tracker = store.tracker(run_id)
    tracker.log(Params({"a": "1", "long": "x" * (LONGEST_PARAM + 1)}))
    tracker.log(Params({"a": "1", "b": "2"}))
    tracker.finish("FINISHED")
    assert store.find(run_id).params == {"a": "1", "b": "2"}


def test_a_run_that_ended_runs_again_when_it_is_opened(store: MlflowStore) -> None:
    run_id = store.start("again", kind="run")
    store.tracker(run_id).finish("KILLED")
    assert store.find(run_id).status == "KILLED"
    tracker = store.tracker(run_id)
    store.settle(10)
    assert store.find(run_id).status == "RUNNING"
    tracker.finish("FINISHED")
    store.keep(run_id, Tags({"late": "yes"}))
    assert store.find(run_id).status == "FINISHED"
    assert store.find(run_id).tags["late"] == "yes"


def test_no_run_names_the_user_or_a_file(store: MlflowStore) -> None:
    run = store.find(store.start("private", kind="run"))
    assert run.tags["mlflow.user"] == run.tags["mlflow.source.name"] == "sbldm"
    assert str(Path.cwd()) not in repr(run)


def test_runs_are_found_by_all_their_tags_oldest_first(store: MlflowStore) -> None:
    ids = [store.start(f"r{number}", kind="trial", tags={"sbldm.study": "tagged"}) for number in range(3)]
    store.start("other kind", kind="study", tags={"sbldm.study": "tagged"})
    store.start("other study", kind="trial", tags={"sbldm.study": "tagged-too"})
    assert sorted(run.run_id for run in store.runs(study="tagged", kind="trial")) == sorted(ids)
    assert [run.name for run in store.runs(study="tagged")][-1] == "other kind"
    assert store.runs(study="absent") == []


def test_killed_runs_can_be_told_so(store: MlflowStore) -> None:
    ids = [store.start("abandoned", kind="run") for _ in range(2)]
    store.close_abandoned(ids)
    assert [store.find(run_id).status for run_id in ids] == ["KILLED", "KILLED"]


def test_a_missing_artifact_is_named_in_one_line(store: MlflowStore, tmp_path: Path) -> None:
    run_id = store.start("bare", kind="run")
    with pytest.raises(RunError, match=f"{run_id[:8]} holds no artifact model") as refusal:
        store.fetch(run_id, "model", tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_document_that_is_no_mapping_is_refused(store: MlflowStore, tmp_path: Path) -> None:
    run_id = store.start("list", kind="run")
    (tmp_path / "config.json").write_text("[1]")
    store.keep(run_id, Artifact(tmp_path / "config.json"))
    with pytest.raises(RunError, match=r"config\.json must be a mapping"):
        store.document(run_id, "config.json")


def test_a_second_store_on_the_same_folder_sees_the_same_runs(store: MlflowStore) -> None:
    home = Path(store.uri.removeprefix("sqlite:///")).parent
    again = MlflowStore(home, must_exist=True)
    assert again.experiment_id == store.experiment_id
    run_id = again.start("second", kind="run")
    assert store.find(run_id).name == "second"


def test_a_store_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no runs are tracked here yet"):
        MlflowStore(tmp_path / "absent", must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_database_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match=r"mlflow\.db: the tracking store does not answer") as refusal:
        MlflowStore(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.slow  # a database of its own
def test_a_store_that_is_lost_under_way_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lost = MlflowStore(tmp_path)
    tracker = lost.tracker(lost.start("lost", kind="run"))
    for file in tmp_path.glob("mlflow.db*"):
        file.unlink()
    with pytest.raises(StorageError, match="the tracking store does not answer") as refusal:
        lost.start("more", kind="run")
    assert len(str(refusal.value).splitlines()) == 1
    tracker.log(Scalar("loss", 1.0))
    tracker.log(Tags({"more": "words"}))
    tracker.finish("FINISHED")
    (warning,) = caplog.records
    assert len(warning.getMessage().splitlines()) == 1
    assert lost.settle(1) == 3


def test_the_library_is_told_to_send_nothing_home() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
