"""Whole studies on a Ray of two cores on this machine, which measure without a network as the other tests do."""

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import search.backends.ray_task
from search.ablation import tabulate
from search.backends.ray_connection import begin_here
from search.config import ExperimentConfig
from search.queue import TrialQueue
from search.runner import TrialFinished, run_study
from search.study import Study
from search.tracking import MlflowStore
from search.workers import WorkerSaid

pytestmark = [
    pytest.mark.slow,  # each worker imports torch
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'sbldm[ray]'"
    ),
    pytest.mark.filterwarnings("ignore"),  # Ray leaves sockets and files open
]

Follow = Callable[..., tuple[list[Any], Any]]
CONFTEST = str(Path(__file__).parents[1] / "conftest.py")


def measure_in_no_time() -> None:
    """Do in each process of the cluster what conftest.py does in this one."""
    import importlib.util

    import search.audit
    import search.measure
    import search.report
    import search.yardsticks

    spec = importlib.util.spec_from_file_location("conftest", CONFTEST)
    assert spec is not None
    assert spec.loader is not None
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    search.measure.build_extractor = lambda name, weights: conftest.Pooling()
    search.measure.perceptual_distance = conftest.fake_perception
    search.yardsticks.draw_grid = search.yardsticks.draw_error_map = conftest.fake_drawing
    search.audit.draw_nearest_pairs = search.report.draw_curve = conftest.fake_drawing


def run_next_in_no_time(*arguments: Any) -> int:
    from search.backends.ray_task import run_next

    measure_in_no_time()
    return run_next(*arguments)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray of two cores, whose tasks need not import this file."""
    ray = begin_here(num_cpus=2)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield ray
    ray.shutdown()


@pytest.fixture(autouse=True)
def _measure_in_no_time_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.backends.ray_task, "run_next", run_next_in_no_time)


def results(store: MlflowStore, name: str) -> dict[str, Any]:
    runs = store.runs(study=name, kind="trial")
    assert {run.status for run in runs} == {"FINISHED"}
    assert len({run.name for run in runs}) == len(runs)
    return {run.name: store.results(run.run_id) for run in runs}


def _table(study: Study, name: str, store: MlflowStore) -> list[Any]:
    return [replace(row, costs={}) for row in tabulate(study, name, store).rows]


def _processes_at_work() -> list[int]:
    lines = {int(each.parent.name): each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline")}
    return [number for number, line in lines.items() if line.startswith(b"ray::run_next_in_no_time")]


def test_two_workers_of_a_cluster_find_to_the_bit_what_one_process_finds(
    cluster: Any, finished: Any, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, follow: Follow
) -> None:
    study, home = finished.study, tmp_path / "home"
    events, parent = follow(
        run_study(study, tiny, seeds=[0], home=home, store=store, name="rays", workers=2, backend="ray")
    )
    alone = {end.label: end.result.results for end in finished.events if isinstance(end, TrialFinished)}
    assert results(store, "rays") == alone
    (own,) = store.runs(study="rays", kind="study")
    assert (own.run_id, own.status, own.metrics["trials/complete"]) == (parent, "FINISHED", 2)
    said = [event for event in events if isinstance(event, WorkerSaid)]
    assert {event.worker for event in said} == {1, 2}
    trained = [event.text for event in said if "autoencoder: done" in event.text]
    assert len(trained) == 1, "the second worker waits for the stage and then reads it"
    assert _table(study, "rays", store) == _table(study, finished.name, store)


def test_the_trial_of_a_killed_worker_goes_to_another(
    cluster: Any, finished: Any, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, follow: Follow
) -> None:
    home = tmp_path / "home"
    events = run_study(finished.study, tiny, seeds=[0], home=home, store=store, name="cut", workers=2, backend="ray")
    for event in events:
        if isinstance(event, WorkerSaid) and "data: done" in event.text:
            break
    os.kill(_processes_at_work()[0], signal.SIGKILL)
    rest, _ = follow(events)
    said = [event.text for event in rest if isinstance(event, WorkerSaid)]
    assert sum("another takes its place" in text for text in said) == 1
    alone = {end.label: end.result.results for end in finished.events if isinstance(end, TrialFinished)}
    assert results(store, "cut") == alone
    states = [trial.state.name for trial in TrialQueue(home, "cut").study.get_trials()]
    assert sorted(states) == ["COMPLETE", "COMPLETE", "FAIL"]


def test_a_cluster_that_is_stopped_commits_and_another_backend_goes_on(
    cluster: Any, finished: Any, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, follow: Follow
) -> None:
    home = tmp_path / "home"
    events = run_study(finished.study, tiny, seeds=[0], home=home, store=store, name="pause", workers=2, backend="ray")
    for event in events:
        if isinstance(event, WorkerSaid) and "data: done" in event.text:
            break
    events.close()
    assert [run.status for run in store.runs(study="pause", kind="study")] == ["KILLED"]
    assert "RUNNING" not in {run.status for run in store.runs(study="pause", kind="trial")}
    assert [trial.get("crashes", 0) for trial in TrialQueue(home, "pause").waiting()] == [0, 0]
    follow(run_study(finished.study, tiny, seeds=[0], home=home, store=store, name="pause"))
    alone = {end.label: end.result.results for end in finished.events if isinstance(end, TrialFinished)}
    assert results(store, "pause") == alone
