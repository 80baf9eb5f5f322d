"""A tracking server that is away, fails or is slow never stops a training, and its record is complete in the end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import search.tracking.mlflow_client
from sbldm.errors import StorageError
from search.tracking import Artifact, Document, MlflowStore, Params, Picture, Scalar, Tags
from search.tracking.delivery import LOCAL, local_id

pytestmark = pytest.mark.slow  # a server of its own


@pytest.fixture(autouse=True)
def _no_long_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.tracking.mlflow_client, "SHORTEST_REST", 0.05)


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
    images = [path.split("+")[0] + path[-4:] for path in store.names(run_id, "images")]
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "loss": [(each.step, each.value) for each in history],
        "tags": {key: value for key, value in run.data.tags.items() if key not in {"sbldm.uid", "sbldm.local"}},
        "document": store.document(run_id, "results.json"),
        "files": store.names(run_id, "model") + store.names(run_id, "report") + store.names(run_id, "pictures"),
        "images": sorted(images),
    }


def only_run(store: MlflowStore, name: str) -> str:
    (run,) = [run for run in store.runs() if run.name == name]
    return run.run_id


def test_a_server_away_from_start_to_end_gets_the_same_record_later(
    server: Any, tmp_path: Path, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = MlflowStore(tmp_path / "there", server.uri)
    plain = there.start("away", kind="run", tags={"own": "tag"})
    log_all(there, plain, files)
    expected = told(there, plain)
    there._client.delete_run(plain)

    server.close()
    begun = time.monotonic()
    away = MlflowStore(tmp_path, server.uri, may_wait=True)
    run_id = away.start("away", kind="run", tags={"own": "tag"})
    assert run_id.startswith(LOCAL)
    assert away.holds(run_id)
    log_all(away, run_id, files)
    seconds = time.monotonic() - begun
    (warning,) = caplog.records
    assert "sbldm sync" in warning.getMessage()
    assert len(warning.getMessage().splitlines()) == 1
    assert seconds < 10
    (files / "model.safetensors").unlink()
    (files / "report.html").write_text("another run's report")

    server.open()
    assert away.settle(30) == 0
    there = MlflowStore(tmp_path / "there", server.uri)
    real = only_run(there, "away")
    assert told(there, real) == expected
    assert there.fetch(real, "report", tmp_path).joinpath("report.html").read_text() == "report"
    assert there.find(run_id).run_id == real
    assert away.holds(run_id)
    assert list(away.spool.rglob("*.*")) == []


@pytest.mark.parametrize("mood", ["closed", "failing"])
def test_a_server_lost_under_way_costs_no_step_and_no_second_run(
    server: Any, tmp_path: Path, files: Path, mood: str
) -> None:
    store = MlflowStore(tmp_path, server.uri, may_wait=True)
    run_id = store.start(f"lost {mood}", kind="run")
    tracker = store.tracker(run_id)
    tracker.log(Scalar("loss", 2.0, 100))
    assert store.settle(30) == 0
    if mood == "closed":
        server.close()
    server.mood = mood
    log_all(store, run_id, files)
    assert store.settle(0.2) > 5
    if mood == "closed":
        server.open()
    server.mood = "well"
    assert store.settle(30) == 0
    assert only_run(store, f"lost {mood}") == run_id
    found = told(store, run_id)
    assert found["status"] == "FINISHED"
    assert [step for step, _ in found["loss"]] == [100, *range(20)]


def test_a_slow_server_does_not_slow_a_training(server: Any, tmp_path: Path) -> None:
    store = MlflowStore(tmp_path, server.uri, may_wait=True)
    tracker = store.tracker(store.start("slow", kind="run"))
    store.settle(30)
    server.delay = 0.5
    asked, begun = server.asked, time.monotonic()
    for step in range(200):
        tracker.log(Scalar("loss", 0.5, step))
        time.sleep(0.01)
    seconds = time.monotonic() - begun
    assert server.asked > asked, "the server was told in the meantime"
    assert seconds < 200 * 0.01 / 0.95 + 0.3, "what the sleeps themselves take, and a twentieth"
    tracker.finish("FINISHED")
    server.delay = 0.0
    assert store.settle(30) == 0
    assert len(store._client.get_metric_history(tracker.run_id, "loss")) == 200


def test_what_a_store_rests_keeps_waiting_below_two_seconds_a_minute() -> None:
    rest = search.tracking.mlflow_client.Rest()
    for waited in (0.5, 2.0, 10.0):
        rest.begin(waited)
        assert waited / (waited + rest.seconds) <= 2 / 60


def test_entries_told_twice_are_there_once(server: Any, tmp_path: Path, files: Path) -> None:
    store = MlflowStore(tmp_path, server.uri)
    run_id = store.start("twice", kind="run")
    entries = []
    deliver = store._courier._deliver
    store._courier._deliver = lambda group: (entries.append(list(group)), deliver(group))[1]  # type: ignore[assignment]
    log_all(store, run_id, files)
    expected = told(store, run_id)
    for group in entries[:-1]:
        if not any(isinstance(entry.what, Picture | Artifact) for entry in group):  # whose copies are gone
            deliver(group)
    assert told(store, run_id) == expected


def test_a_store_that_is_read_must_answer(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9: the tracking store does not answer"):
        MlflowStore(tmp_path, "http://user:secret@127.0.0.1:9")
    with pytest.raises(StorageError) as refusal:
        MlflowStore(tmp_path, "http://user:secret@127.0.0.1:9")
    assert "secret" not in str(refusal.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from search.tracking import MlflowStore, Scalar, Tags
store = MlflowStore(Path(sys.argv[1]), sys.argv[2], may_wait=True)
run_id = store.start("killed", kind="run", tags={"sbldm.uid": "one"})
tracker = store.tracker(run_id)
for step in range(5):
    tracker.log(Scalar("loss", 1.0, step))
tracker.log(Tags({"sbldm.measured": "true"}))
store.settle(0.2)
print(run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def run_killed(home: Path, uri: str) -> str:
    outcome = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), uri],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert outcome.returncode == -signal.SIGKILL, outcome.stderr
    return outcome.stdout.strip()


def test_what_a_killed_process_left_is_taken_up_by_the_next(server: Any, tmp_path: Path) -> None:
    server.close()
    run_id = run_killed(tmp_path, server.uri)
    assert run_id == local_id("one") == run_killed(tmp_path, server.uri), "the same run, begun again"
    server.open()
    store = MlflowStore(tmp_path, server.uri)
    assert store.catch_up() == 1
    assert store.settle(30) == 0
    run = store.find(run_id)
    assert run.status == "RUNNING"
    store.close_abandoned([run_id])
    assert store.find(run_id).status == "FINISHED", "all its results are there"
    assert [each.step for each in store._client.get_metric_history(run.run_id, "loss")] == list(range(5))
    assert only_run(store, "killed") == run.run_id
    assert store.catch_up() == 0
