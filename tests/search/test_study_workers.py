"""Whole studies by several real processes, which measure without a network as the other tests do."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import search.workers
from search.config import ExperimentConfig
from search.queue import TrialQueue
from search.runner import TrialFinished, run_study
from search.study import Study
from search.tracking import MlflowStore
from search.workers import WorkerSaid

pytestmark = pytest.mark.slow  # each worker imports torch

Follow = Callable[..., tuple[list[Any], Any]]
WORKER = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("conftest", {str(Path(__file__).with_name("conftest.py"))!r})
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
import search.audit, search.measure, search.report, search.worker, search.yardsticks
search.measure.build_extractor = lambda name, weights: conftest.Pooling()
search.measure.perceptual_distance = conftest.fake_perception
search.yardsticks.draw_grid = search.yardsticks.draw_error_map = conftest.fake_drawing
search.audit.draw_nearest_pairs = search.report.draw_curve = conftest.fake_drawing
sys.exit(search.worker.main())
"""


@pytest.fixture(autouse=True)
def _measure_in_no_time_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(search.workers, "COMMAND", (sys.executable, str(tmp_path / "worker.py")))


def results(store: MlflowStore, name: str) -> dict[str, Any]:
    runs = store.runs(study=name, kind="trial")
    assert {run.status for run in runs} == {"FINISHED"}
    assert len({run.name for run in runs}) == len(runs)
    return {run.name: store.results(run.run_id) for run in runs}


def test_two_workers_find_to_the_bit_what_one_finds_at_as_many_threads(
    finished: Any, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, follow: Follow
) -> None:
    events, parent = follow(
        run_study(finished.study, tiny, seeds=[0], home=tmp_path / "home", store=store, name="crew", workers=2)
    )
    alone = {end.label: end.result.results for end in finished.events if isinstance(end, TrialFinished)}
    assert results(store, "crew") == alone
    (study,) = store.runs(study="crew", kind="study")
    assert (study.run_id, study.status, study.metrics["trials/complete"]) == (parent, "FINISHED", 2)
    said = [event for event in events if isinstance(event, WorkerSaid)]
    trained = [event.text for event in said if "autoencoder: done" in event.text]
    assert len(trained) == 1, "the second worker waits for the stage and then reads it"
    assert {event.worker for event in said} == {1, 2}


def test_workers_that_are_stopped_commit_and_go_on_later(
    finished: Any, tiny: ExperimentConfig, mixing: Study, store: MlflowStore, tmp_path: Path, follow: Follow
) -> None:
    def start() -> Any:
        return run_study(mixing, tiny, seeds=[0], home=tmp_path / "home", store=store, name="halt", workers=2)

    events = start()
    for event in events:
        if isinstance(event, WorkerSaid) and "data: done" in event.text:
            break
    events.close()
    assert [run.status for run in store.runs(study="halt", kind="study")] == ["KILLED"]
    assert "RUNNING" not in {run.status for run in store.runs(study="halt", kind="trial")}
    assert [trial.get("crashes", 0) for trial in TrialQueue(tmp_path / "home", "halt").waiting()] == [0, 0]
    follow(start())
    alone = {end.label: end.result.results for end in finished.events if isinstance(end, TrialFinished)}
    assert results(store, "halt") == alone
