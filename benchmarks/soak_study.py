"""Kill the workers of a study at random moments until it has had enough, and ask whether each trial counts once.

The experiment is a stand-in of two short cached stages; queue, locks, workers and record are the real ones. One kill
in eight hits the parent, whose command is then given again. A trial is here given up never, not after four deaths,
so that all must complete.

    python benchmarks/soak_study.py                                   # 20 trials, 4 workers, 30 kills, SQLite
    python benchmarks/soak_study.py --storage postgres                # a server of its own
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from postgres_server import running_server, why_not

import search.queue
import search.runner
import search.workers
from evaluation import MetricResult
from sbldm.files import write_json
from sbldm.training import StepRecord
from search.config import build_config
from search.events import ExperimentResult
from search.stages import cached
from search.study import Study
from search.tracking import MlflowStore

NAME = "soak"
STEPS = 10
PARENT_SHARE = 1 / 8
LONGEST_LIFE_SECONDS = 3.0
BASE = {"device": "cpu"}


def question(trials):
    """Return a study of so many settings."""
    return Study("soak", "Does each trial count once?", {"training.steps": tuple(range(1, trials + 1))}, _first(), "")


def _first():
    return "training.steps=1"


def pretend(config, cache):
    """Take about a second over what an experiment takes hours."""
    for stage in ("first", "second"):

        def build(entry, stage=stage):
            for step in range(1, STEPS + 1):
                time.sleep(0.05)
                yield StepRecord(stage, step, STEPS, 1.0 / step, 1e-3, 1.0, 0.05, 0, is_exact=True)
            write_json(entry.directory / "model.json", {"stage": stage})
            return {}

        entry, _ = yield from cached(cache, stage, config.digest(), build)
    point = float(config.training.steps)
    fd = MetricResult("fd_none", point, point - 0.5, point + 0.5, 0.95, "none", {"real": 2}, "none", "lower")
    return ExperimentResult({"eval/fd_none": fd}, {}, {}, entry.directory, entry.directory / "none.npz")


def pretend_everywhere(options):
    """Put the stand-in where the experiment is, here and in the workers that are started from here."""
    search.runner.run_experiment = pretend
    search.queue.MOST_RETRIES = 10**6
    search.workers.MOST_RESTARTS = 10**6
    search.workers.COMMAND = (sys.executable, __file__, "--role", "worker", "--home", options.home)


def be_parent(options):
    """Run the study as the command line does."""
    from search.progress import follow

    study = question(options.trials)
    store = MlflowStore(Path(options.home))
    events = search.runner.run_study(
        study,
        build_config(BASE),
        seeds=[0],
        home=Path(options.home),
        store=store,
        name=NAME,
        workers=options.workers,
        storage=os.environ.get("SOAK_STORAGE") or None,
    )
    follow(events)


def be_worker(options):
    """Work as any other, having said which process it is once it has loaded what takes longer than a life."""
    import mlflow  # noqa: F401

    import search.worker

    (Path(options.home) / "alive" / str(os.getpid())).touch()
    sys.exit(search.worker.main())


def soak(options, storage):
    """Start the study, kill, start again, until it ends; return what was killed, and how long it took."""
    chance, kills, started = random.Random(options.seed), Counter(), time.monotonic()
    alive = Path(options.home) / "alive"
    alive.mkdir(parents=True)
    command = [sys.executable, __file__, "--role", "parent", "--home", options.home]
    command += ["--trials", str(options.trials), "--workers", str(options.workers)]
    environment = {**os.environ, "SOAK_STORAGE": storage or "", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with (Path(options.home) / "log").open("a") as log:
        while True:
            parent = subprocess.Popen(command, env=environment, stderr=log)
            try:
                while parent.poll() is None:
                    _kill_one(parent, alive, chance, kills, options.kills)
            finally:
                parent.kill()
            if parent.returncode == 0:
                return kills, time.monotonic() - started
            if parent.returncode != -signal.SIGKILL:
                raise SystemExit(f"the parent ended with {parent.returncode}; see {options.home}/log")


def _kill_one(parent, alive, chance, kills, most):
    """Wait for a random moment in a worker's life, and end it or the parent's."""
    workers = [int(path.name) for path in alive.iterdir()]
    if not workers or kills.total() >= most:
        time.sleep(0.1)
        return
    time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS / len(workers)))
    victim = chance.choice(workers)
    (alive / str(victim)).unlink()
    if chance.random() < PARENT_SHARE and parent.poll() is None:
        parent.kill()
        kills["parent"] += 1
        return
    try:
        if not _is_ours(victim):
            return
        os.kill(victim, signal.SIGKILL)
        kills["worker"] += 1
    except ProcessLookupError:
        pass


def _wait_for_orphans(alive):
    """Ask whether every worker has left, those of a killed parent too."""
    deadline = time.monotonic() + 60
    while left := [path.name for path in alive.iterdir() if _is_ours(path.name)]:
        assert time.monotonic() < deadline, f"workers {left} outlive their parent"
        time.sleep(0.1)


def _is_ours(pid):
    """Return whether this number is still that of a worker: numbers are given again."""
    try:
        return b"soak_study" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def verdict(options, storage):
    """Return what the databases hold, and raise where a trial was lost, doubled, or left open."""
    _wait_for_orphans(Path(options.home) / "alive")
    queue = search.queue.TrialQueue(Path(options.home), NAME, storage)
    trials = queue.study.get_trials(deepcopy=False)
    states = Counter(trial.state.name for trial in trials)
    complete = Counter(trial.user_attrs["key"] for trial in trials if trial.state.name == "COMPLETE")
    runs = MlflowStore(Path(options.home), must_exist=True).runs(kind="trial")
    statuses = Counter(run.status for run in runs)
    per_cell = Counter(run.tags["sbldm.cell"] for run in runs)
    (study,) = MlflowStore(Path(options.home)).runs(kind="study")
    assert len(complete) == options.trials, states
    assert set(complete.values()) == {1}, complete
    assert states["RUNNING"] == states["WAITING"] == 0, states
    assert statuses == {"FINISHED": options.trials}, statuses
    assert set(per_cell.values()) == {1}, per_cell
    assert study.status == "FINISHED"
    values = {trial.user_attrs["cell"]: trial.value for trial in trials if trial.state.name == "COMPLETE"}
    assert {run.tags["sbldm.cell"]: run.metrics["eval/fd_none"] for run in runs} == values
    assert {cell: float(cell.partition("=")[2]) for cell in values} == values  # what the stand-in makes of each
    return f"trials {dict(states)}; runs {dict(statuses)}; no trial with two runs"


def main():
    """Soak once, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", help=argparse.SUPPRESS)
    parser.add_argument("--role", choices=("parent", "worker"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        pretend_everywhere(options)
        return be_parent(options) if options.role == "parent" else be_worker(options)
    if options.storage == "postgres" and why_not():
        raise SystemExit(f"no PostgreSQL: {why_not()}")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server() if options.storage == "postgres" else nullcontext() as url,
    ):
        options.home = f"{folder}/mlruns"
        try:
            kills, seconds = soak(options, url)
            print(f"{options.storage}, {options.workers} workers, seed {options.seed}: killed {dict(kills)}", end=" ")
            print(f"in {seconds:.0f} s; {verdict(options, url)}")
            assert kills.total() >= options.kills, f"the study ended after {kills.total()} kills: give it more trials"
        except BaseException:
            log = Path(options.home) / "log"
            sys.stderr.write(log.read_text()[-4000:] if log.exists() else "")
            raise
    return None


if __name__ == "__main__":
    main()
