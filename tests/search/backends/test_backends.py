"""Both backends by name; and Ray's, with a Ray that runs a task when it is asked how it went."""

import json
import queue
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import search.backends.ray_connection
from sbldm.errors import ConfigError, ResourceError, RunError
from search.backends import BACKENDS, Order, find_backend
from search.backends.ray_task import run_next
from search.config import ExperimentConfig
from search.runner import TrialFinished, run_study
from search.tracking import MlflowStore
from search.workers import MOST_RESTARTS, Task, WorkerSaid

TASK = Task({}, {}, (0,), "home", "name", None, "uri", "parent")
RayError = type("RayError", (Exception,), {})
RayTaskError = type("RayTaskError", (RayError,), {})
WorkerCrashedError = type("WorkerCrashedError", (RayError,), {})


class FakeRay(ModuleType):
    """As much of Ray as we use."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = type("exceptions", (), {"RayError": RayError, "RayTaskError": RayTaskError})
        self.machines: list[dict[str, float]] = [{"CPU": 4.0}]
        self.asked: list[dict[str, Any]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.canceled: list[tuple[int, bool]] = []
        self.most_at_once = 0
        self.flying: dict[int, tuple[Any, ...]] = {}
        self.results: dict[int, Any] = {}
        self.work: Callable[..., int] = lambda *_: 0

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        gone = {"Alive": False, "Resources": {"CPU": 64.0}}
        return [gone, *({"Alive": True, "Resources": each} for each in self.machines)]

    def remote(self, **options: Any) -> Any:
        self.asked.append(options)

        def send(*arguments: Any) -> int:
            self.calls.append(arguments)
            self.flying[len(self.calls)] = arguments
            self.most_at_once = max(self.most_at_once, len(self.flying))
            return len(self.calls)

        return lambda function: type("Remote", (), {"remote": staticmethod(send)})

    def wait(self, tasks: list[int], *, num_returns: int = 1, timeout: float) -> tuple[list[int], list[int]]:
        first, *others = tasks
        if first in self.flying:
            arguments = self.flying.pop(first)
            try:
                self.results[first] = self.work(*arguments)
            except RayError as error:
                self.results[first] = error
        return [first], others

    def get(self, task: int) -> Any:
        if isinstance(result := self.results[task], Exception):
            raise result
        return result

    def cancel(self, task: int, *, force: bool = False) -> None:
        self.canceled.append((task, force))


class Mailbox(queue.Queue[Any]):
    def __init__(self, most: int, actor_options: dict[str, Any]) -> None:
        super().__init__(most)

    def shutdown(self, force: bool) -> None:  # type: ignore[override]
        pass


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake, package, queues = FakeRay(), ModuleType("ray.util"), ModuleType("ray.util.queue")
    queues.Queue = Mailbox  # type: ignore[attr-defined]
    for module in (fake, package, queues):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(search.backends.ray_connection, "find_spec", lambda name: True)
    return fake


class Trials:
    """So many waiting trials, and a task that takes one and works at it."""

    def __init__(self, count: int, deaths: int = 0) -> None:
        self.waiting, self.deaths, self.seen = count, deaths, []  # type: ignore[var-annotated]

    def work(self, words: str, seat: int, cores: int, folder: str, mailbox: Any) -> int:
        task = Task(**json.loads(words))
        assert task.trials == 1
        if self.waiting == 0:
            return 0
        self.waiting -= 1
        mailbox.put((seat, json.dumps({"begun": 1})))
        if self.deaths:
            self.deaths -= 1
            self.waiting += 1
            raise WorkerCrashedError
        self.seen.append((seat, cores, folder, task.home))
        mailbox.put((seat, json.dumps({"text": "  done", "passing": False})))
        mailbox.put((seat, json.dumps({"done": 1})))
        return 0


def run(work: Trials, ray: FakeRay, **order: Any) -> tuple[list[str], int]:
    ray.work = work.work
    wanted = {"trials": None, "workers": None, "device": "cpu"} | order
    said, events = [], find_backend("ray").run(Order(TASK, waiting=lambda: work.waiting, **wanted))
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return said, end.value
        if isinstance(event, WorkerSaid):
            said.append(event.text)


def test_a_backend_that_is_not_there_is_named_with_those_that_are() -> None:
    assert list(BACKENDS) == ["local", "ray"]
    with pytest.raises(ConfigError, match=r"unknown backend 'rai' - did you mean 'ray'\?; known: local, ray"):
        find_backend("rai")


def test_without_ray_its_backend_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.backends.ray_connection, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs Ray, which is not installed: pip install 'sbldm\[ray\]'"):
        find_backend("ray").check(None, "sqlite:")


@pytest.mark.slow  # it imports torch anew
def test_nothing_of_ray_is_loaded_unless_it_is_asked_for() -> None:
    code = "import sys, search.runner, search.worker; print(sorted(m for m in sys.modules if m.split('.')[0] == 'ray'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_waiting_trial_is_one_task_on_a_share_of_the_cores(ray: FakeRay) -> None:
    trials = Trials(5)
    said, lost = run(trials, ray, workers=2)
    assert (len(trials.seen), len(ray.calls), ray.most_at_once, lost) == (5, 5, 2, 0)
    assert ray.asked == [{"max_retries": 0, "num_cpus": 2, "num_gpus": 0}]
    assert {(cores, folder, home) for _, cores, folder, home in trials.seen} == {
        (2, str(Path.cwd()), str(Path("home").resolve()))
    }
    assert {seat for seat, *_ in trials.seen} == {1, 2}
    assert sorted(set(said)) == ["[1] done", "[2] done"]


def test_each_trial_has_a_gpu_where_there_are_any(ray: FakeRay) -> None:
    ray.machines = [{"CPU": 8.0, "GPU": 2.0}]
    run(Trials(3), ray, device="auto")
    assert ray.asked == [{"max_retries": 0, "num_cpus": 4, "num_gpus": 1}]
    assert ray.most_at_once == 2


def test_no_more_trials_are_run_than_are_asked_for(ray: FakeRay) -> None:
    trials = Trials(5, deaths=1)
    run(trials, ray, workers=2, trials=3)
    assert len(trials.seen) == 3


def test_a_dead_worker_is_replaced_and_a_seat_where_all_die_is_left(ray: FakeRay) -> None:
    said, lost = run(Trials(2, deaths=1), ray, workers=1)
    assert said == ["[1] died (WorkerCrashedError); another takes its place", "[1] done", "[1] done"]
    assert lost == 0
    said, lost = run(Trials(2, deaths=100), ray, workers=1)
    assert (lost, len(said)) == (1, 1 + MOST_RESTARTS)
    assert said[-1] == "[1] died (WorkerCrashedError); no other takes its place"


def test_what_a_worker_reports_stops_all_and_is_raised_here(ray: FakeRay) -> None:
    def fail(words: str, seat: int, cores: int, folder: str, mailbox: Any) -> int:
        mailbox.put((seat, json.dumps({"failed": "RunError", "message": "no such run", "trace": "where it was"})))
        return 1

    trials = Trials(2)
    trials.work = fail  # type: ignore[method-assign]
    with pytest.raises(RunError, match="no such run"):
        run(trials, ray, workers=2)
    assert (2, False) in ray.canceled


def test_a_machine_that_cannot_begin_is_told_of_in_one_line(ray: FakeRay) -> None:
    def fail(*_: Any) -> int:
        raise RayTaskError("trace\nof many lines\nModuleNotFoundError: No module named 'search'")

    trials = Trials(1)
    trials.work = fail  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"^a machine of the Ray cluster cannot work .*No module named 'search'\)$"):
        run(trials, ray)


def test_closing_asks_the_tasks_to_stop(ray: FakeRay) -> None:
    trials = Trials(5)
    ray.work = trials.work
    events = find_backend("ray").run(Order(TASK, None, 2, "cpu", lambda: trials.waiting))
    next(events)
    events.close()
    assert ray.canceled
    assert not any(force for _, force in ray.canceled)


def test_a_study_whose_trials_are_tasks_ends_with_the_numbers_of_one_process(
    ray: FakeRay, finished: Any, tiny: ExperimentConfig, store: MlflowStore, follow: Callable[..., Any]
) -> None:
    """The trials are worked at here, by what Ray would run elsewhere; every stage is in the cache."""
    ray.work = run_next
    ray.machines = [{"CPU": 1.0}]
    study, home = finished.study, finished.home
    events, parent = follow(
        run_study(study, tiny, seeds=[0], home=home, store=store, name="tasks", trials=1, backend="ray")
    )
    assert len(store.runs(study="tasks", kind="trial")) == 1
    assert next(event.text for event in events if isinstance(event, WorkerSaid)).startswith("[1] trial 1 of 2: ")
    follow(run_study(study, tiny, seeds=[0], home=home, store=store, name="tasks", backend="ray"))
    runs = store.runs(study="tasks", kind="trial")
    alone = {end.label: end.result.results for end in finished.events if isinstance(end, TrialFinished)}
    assert {run.name: store.results(run.run_id) for run in runs} == alone
    assert len(ray.calls) == 2
    (own,) = store.runs(study="tasks", kind="study")
    assert (own.run_id, own.status) == (parent, "FINISHED")


def test_a_task_whose_study_is_not_there_reports_it_and_does_not_raise(ray: FakeRay, tmp_path: Path) -> None:
    mailbox = Mailbox(10, {})
    assert run_next(json.dumps(asdict(TASK)), 3, 1, str(tmp_path / "elsewhere"), mailbox) == 1
    seat, words = mailbox.get_nowait()
    assert seat == 3
    assert json.loads(words).keys() == {"failed", "message", "trace"}


def test_files_of_one_machine_are_not_to_serve_several(ray: FakeRay) -> None:
    check = find_backend("ray").check
    check(None, "sqlite:")
    ray.machines = [{"CPU": 4.0}, {"CPU": 4.0}]
    with pytest.raises(ConfigError, match=r"cluster of 2 machines needs --storage postgresql://"):
        check(None, "http://tracking")
    with pytest.raises(ConfigError, match=r"cluster of 2 machines needs --tracking-uri"):
        check("postgresql://me@here/x", "sqlite:///mlflow.db")
    check("postgresql://me@here/x", "http://tracking")


def test_a_named_cluster_that_does_not_answer_is_not_replaced_by_another(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise ConnectionError

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    ray.init = refuse  # type: ignore[attr-defined]
    with pytest.raises(ResourceError, match=r"the Ray cluster at 10\.0\.0\.1:6379 does not answer"):
        find_backend("ray").check(None, "sqlite:")
