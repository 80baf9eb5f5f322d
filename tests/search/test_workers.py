import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import search.workers
from sbldm.errors import ConfigError, ResourceError
from search.config import ExperimentConfig, build_config, override
from search.runner import run_study
from search.study import Study
from search.study_run import study_from_json
from search.tracking import MlflowStore
from search.workers import MOST_RESTARTS, StillWorking, Task, WorkerSaid, divide_machine, run_workers, share_out

TASK = Task({}, {}, (0,), "home", "name", "postgresql://anna:hunter2@s/db", "uri", "parent")
SAY = "print(json.dumps({'text': text, 'passing': False}), flush=True)"
PRELUDE = "import json, os, sys, time\ntask = json.loads(sys.stdin.readline())\n"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let workers run some lines of Python instead of a study."""

    def use(lines: str) -> None:
        (tmp_path / "worker.py").write_text(PRELUDE + lines)
        monkeypatch.setattr(search.workers, "COMMAND", (sys.executable, str(tmp_path / "worker.py"), str(tmp_path)))

    return use


def run(workers: int = 1, trials: int | None = None) -> tuple[list[str], int]:
    said, events = [], run_workers(share_out(TASK, trials, workers), device="cpu")
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return said, end.value
        if isinstance(event, WorkerSaid):
            said.append(event.text)


def test_limited_trials_are_shared_out_whole() -> None:
    assert [task.trials for task in share_out(TASK, 7, 3)] == [3, 2, 2]
    assert [task.trials for task in share_out(TASK, 2, 3)] == [1, 1]
    assert [task.trials for task in share_out(TASK, None, 2)] == [None, None]
    assert [task.worker for task in share_out(TASK, 7, 3)] == [1, 2, 3]


def test_the_threads_are_divided_among_workers_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert [each["OMP_NUM_THREADS"] for each in divide_machine(3, device="cpu")] == ["2"] * 3
    assert divide_machine(20, device="cpu")[0]["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("listed, given", [(None, ["0", "1", "0"]), ("3,GPU-x", ["3", "GPU-x", "3"])])
def test_each_worker_has_a_gpu_of_its_own_while_there_are_enough(
    monkeypatch: pytest.MonkeyPatch, listed: str | None, given: list[str]
) -> None:
    monkeypatch.setattr(search.workers, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in divide_machine(3, device="auto")] == given


def test_every_worker_is_heard_under_its_number(script: Any) -> None:
    script(f'text = f\'worker {{task["worker"]}} of {{task["name"]}}\'\n{SAY}')
    said, lost = run(workers=2)
    assert sorted(said) == ["[1] worker 1 of name", "[2] worker 2 of name"]
    assert lost == 0


def test_no_password_stands_among_a_workers_arguments_or_variables(script: Any) -> None:
    script(
        "open(sys.argv[1] + '/seen', 'wb').write(open('/proc/self/cmdline', 'rb').read()"
        " + open('/proc/self/environ', 'rb').read())"
    )
    run()
    assert b"hunter2" not in (Path(search.workers.COMMAND[2]) / "seen").read_bytes()


def test_a_worker_that_always_dies_is_replaced_three_times_and_no_more(script: Any, tmp_path: Path) -> None:
    script("open(sys.argv[1] + '/starts', 'a').write('x'); os.kill(os.getpid(), 9)")
    said, lost = run()
    assert len((tmp_path / "starts").read_text()) == 1 + MOST_RESTARTS
    assert lost == 1
    assert said[0] == "[1] died (signal SIGKILL); another takes its place"
    assert said[-1] == f"[1] died {1 + MOST_RESTARTS} times (signal SIGKILL); no other takes its place"


def test_a_worker_that_cannot_even_start_is_not_replaced_for_ever(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search.workers, "COMMAND", (sys.executable, "-c", "import no_such_module"))
    said, lost = run()
    assert (lost, len(said)) == (1, 1 + MOST_RESTARTS)
    assert "no_such_module" in capfd.readouterr().err


def test_a_replaced_worker_has_what_is_left_of_its_share(script: Any, tmp_path: Path) -> None:
    script(
        "text = str(task['trials'])\n"
        f"{SAY}\n"
        "if task['trials'] == 5:\n"
        "    print(json.dumps({'done': 1}), flush=True); print(json.dumps({'done': 1}), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    said, _ = run(trials=5)
    assert [said[0], said[-1]] == ["[1] 5", "[1] 3"]


@pytest.mark.parametrize(
    "kind, ours", [("ResourceError", ResourceError), ("ConfigError", ConfigError), ("ZeroDivisionError", RuntimeError)]
)
def test_what_one_worker_reports_stops_all_and_is_raised_here(
    script: Any, tmp_path: Path, kind: str, ours: type[Exception]
) -> None:
    failure = {"failed": kind, "message": "the disk is full", "trace": "where it was"}
    script(
        "if task['worker'] == 1:\n"
        f"    print({json.dumps(failure)!r}, flush=True); sys.exit(1)\n"
        "open(sys.argv[1] + '/pid', 'w').write(str(os.getpid())); time.sleep(120)\n"
    )
    with pytest.raises(ours, match="the disk is full") as raised:
        run(workers=2)
    assert "where it was" in str(raised.value.__cause__)
    pid = tmp_path / "pid"
    assert not pid.exists() or not Path(f"/proc/{pid.read_text()}").exists()


def test_closing_asks_the_workers_to_stop_and_waits_for_them(script: Any, tmp_path: Path) -> None:
    script(
        "import signal\n"
        "def stop(*_):\n"
        "    time.sleep(0.3); open(sys.argv[1] + '/saved', 'w').close(); sys.exit(75)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"text = 'ready'\n{SAY}\n"
        "time.sleep(120)\n"
    )
    events = run_workers(share_out(TASK, None, 1), device="cpu")
    while isinstance(next(events), StillWorking):
        pass
    events.close()
    assert (tmp_path / "saved").exists()


def test_a_worker_that_does_not_stop_is_ended_after_a_while(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.workers, "GRACE_SECONDS", 0.3)
    script(
        f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntext = str(os.getpid())\n{SAY}\ntime.sleep(120)"
    )
    events = run_workers(share_out(TASK, None, 1), device="cpu")
    while not isinstance(said := next(events), WorkerSaid):
        pass
    events.close()
    assert not Path(f"/proc/{said.text.split()[1]}").exists()


def test_a_worker_that_is_slow_to_leave_is_not_stopped_for_it(script: Any) -> None:
    """As ours does, it stops when its input ends; closing that before it has left would count it as dead."""
    watch = "threading.Thread(target=lambda: os.read(0, 1) or os._exit(9), daemon=True).start()"
    script(f"import threading\n{watch}\ntext = 'done'\n{SAY}\nos.close(1)\ntime.sleep(0.4)")
    assert run() == (["[1] done"], 0)


def test_half_a_message_of_a_dying_worker_is_no_message(script: Any) -> None:
    script('sys.stdout.write(\'{"text": "hal\'); sys.stdout.flush()')
    assert run() == ([], 0)


def test_a_study_comes_back_from_json_as_it_was(mixing: Study) -> None:
    section = Study(
        "s", "Which?", {"loss": ({"kind": "mse"}, {"kind": "frequency", "weight": 1.0})}, "mse", "", {"seed": 1}
    )
    for study in (mixing, section):
        again = study_from_json(json.loads(json.dumps(study.to_json())))
        assert again.cells() == study.cells()
        assert [cell.key for cell in again.cells()] == [cell.key for cell in study.cells()]
        assert (again.name, again.baseline, dict(again.base)) == (study.name, study.baseline, dict(study.base))


def test_a_study_that_json_would_change_is_refused() -> None:
    pairs = Study("s", "Which?", {"autoencoder.hidden_dims": ((4, 4), (8, 8))}, "autoencoder.hidden_dims=4,4", "")
    with pytest.raises(ConfigError, match="plain numbers, words and lists"):
        pairs.to_json()


def test_settings_come_back_from_json_as_they_were(tiny: ExperimentConfig) -> None:
    changed = override(tiny, {"evaluation.weights": "/some/weights.pth", "training.learning_rate": 1 / 3, "seed": 5})
    for config in (tiny, changed):
        assert build_config(json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_workers_are_at_least_one(mixing: Study, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1, but got 0"):
        next(run_study(mixing, tiny, seeds=[0], home=tmp_path, store=store, name="none", workers=0))
    assert list(tmp_path.iterdir()) == []
