import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cli
from sbldm.errors import DataError
from sbldm.files import read_json, write_json
from search.cache import Cache
from search.config import ExperimentConfig
from search.downstream.identity import identify, to_record
from search.downstream.job import Task
from search.downstream.of_run import benchmark_run
from search.downstream.record import metric_name
from search.downstream.result import BenchmarkResult, describe_benchmark
from search.downstream.spec import BenchmarkSpec
from search.events import ExperimentResult, Progress, StageFinished
from search.inspect import describe_result
from search.runner import TrialFinished
from search.runs import OpenedRun, find_data, open_run
from search.tracking import MlflowStore

Follow = Callable[..., tuple[list[Any], Any]]
SPEC = BenchmarkSpec(fractions=(0.25, 1.0), workers=1)


@pytest.fixture(scope="module")
def cache(finished: Any) -> Cache:
    return Cache(finished.home / "cache")


@pytest.fixture(scope="module")
def run(finished: Any, cache: Cache, store: MlflowStore) -> OpenedRun:
    trial = next(event for event in finished.events if isinstance(event, TrialFinished))
    return open_run(trial.run_id, cache=cache, store=store)


@pytest.fixture
def ask(run: OpenedRun, cache: Cache, store: MlflowStore, rule: ModuleType, follow: Follow) -> Callable[..., Any]:
    def ask(spec: BenchmarkSpec = SPEC, **settings: Any) -> tuple[list[Any], tuple[str, BenchmarkResult]]:
        rules = rule.PixelRule(**settings)
        return follow(benchmark_run(run, spec, segmentation=rules, conclude=rule.conclude, cache=cache, store=store))

    return ask


def finished_stages(events: list[Any]) -> dict[str, bool]:
    """Return of each stage that ended whether it was found ready every time."""
    stages: dict[str, bool] = {}
    for event in events:
        if isinstance(event, StageFinished):
            stages[event.stage] = event.cached and stages.get(event.stage, True)
    return stages


def test_a_run_is_asked_at_two_fractions_and_tracked_below_one_parent(
    ask: Callable[..., Any], run: OpenedRun, store: MlflowStore, tmp_path: Path, rule: ModuleType
) -> None:
    events, (run_id, result) = ask(log=tmp_path / "log")
    trained = (tmp_path / "log").read_text().splitlines()
    assert len(trained) == len(set(trained)) == 3 * 2 * 3  # arms, fractions, seeds
    last = [event for event in events if isinstance(event, Progress) and event.stage == "segmenters"][-1]
    assert (last.done, last.total) == (18, 18)
    assert result.audit.holds
    assert result.facts["generators"]["1/0"] == run.trained.digest  # the run's own model
    assert result.facts["generators"]["0.25/0"] != run.trained.digest
    assert [each["patients"] for each in result.facts["fractions"]] == [2, 9]  # of 9: 2.25
    assert store.find(run_id).tags["sbldm.of"] == run.record.run_id
    children = [child for child in store.runs(kind="benchmark_arm") if child.tags["mlflow.parentRunId"] == run_id]
    assert {(child.tags["sbldm.arm"], child.tags["sbldm.fraction"]) for child in children} == {
        (arm, fraction) for arm in rule.ARMS for fraction in ("0.25", "1")
    }
    for child in children:
        key = child.tags["sbldm.arm"], float(child.tags["sbldm.fraction"])
        assert child.metrics["downstream/dice"] == pytest.approx(result.conclusion.means[key]["dice"])
    kept = {Path(name).name for name in store.names(run_id, "benchmark")}
    assert {"table.md", "table.tex", "table.csv", "table.html", "scores.json", "audit.json", "forest.svg"} <= kept
    told = store.find(run.record.run_id)
    assert told.tags["sbldm.benchmark"] == run_id  # the run says which benchmark was made of it, and what it found
    assert told.metrics["benchmark/gain_dice/all classes/real_synthetic at 25"] == pytest.approx(0.5)
    assert told.status == "FINISHED"


def test_the_same_command_trains_nothing_twice(ask: Callable[..., Any], tmp_path: Path) -> None:
    ask()
    events, (_, result) = ask(log=tmp_path / "log")
    assert not (tmp_path / "log").exists()
    assert finished_stages(events)["segmenters"]
    assert all(finished_stages(events).values())
    assert len(result.scores) == 18 * result.facts["test_patients"] * 3


def test_a_benchmark_that_was_killed_goes_on_with_what_is_left(ask: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(name="killed", dies_at=Task("synthetic", 0.25, 1), log=tmp_path / "log")
    before = (tmp_path / "log").read_text().splitlines()
    ask(name="killed", log=tmp_path / "log")
    after = (tmp_path / "log").read_text().splitlines()
    assert 0 < len(before) < 18
    assert len(after) == len(set(after)) == 18


def test_another_seed_adds_trainings_and_changes_none(ask: Callable[..., Any], tmp_path: Path) -> None:
    ask()
    ask(SPEC.model_copy(update={"seeds": 4}), log=tmp_path / "log")
    assert {line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()} == {"3"}


def test_arms_of_real_slices_alone_train_no_generator(ask: Callable[..., Any]) -> None:
    events, (_, result) = ask(SPEC.model_copy(update={"arms": ("real",), "patients_seed": 5}))
    assert not {"autoencoder", "diffusion", "samples"} & set(finished_stages(events))
    assert "generators" in result.facts
    assert not result.facts["generators"]


def test_seeds_may_have_patients_of_their_own(ask: Callable[..., Any]) -> None:
    _, (_, result) = ask(SPEC.model_copy(update={"patients": "per_seed", "fractions": (0.25,)}))
    assert len(set(result.facts["generators"].values())) == 3
    assert result.audit.holds
    assert "Each seed has patients of its own" in result.sentences()[-1]


@pytest.fixture
def planted(run: OpenedRun, cache: Cache, follow: Follow) -> Iterator[None]:
    """Make the autoencoder's record say that it learned from a test patient."""
    data = follow(find_data(run, cache))[1].data
    entry = cache.entry("autoencoder", run.trained.codec_digest)
    record = entry.directory / "patients.json"
    true, meta = read_json(record), entry.meta()
    stolen = to_record(list(identify(data.test).values())[:1])
    write_json(record, true | stolen)
    entry.commit(meta or {})  # as a training on this patient would have left it
    yield
    write_json(record, true)
    entry.commit(meta or {})


@pytest.mark.usefixtures("planted")
def test_a_planted_test_patient_in_the_record_of_the_generator_stops_the_benchmark(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"no model may learn from a test patient.*\(autoencoder at 100 %\)"):
        ask(name="planted", log=tmp_path / "log")
    assert not (tmp_path / "log").exists()


@pytest.mark.usefixtures("planted")
def test_the_command_refuses_a_leak_in_one_line_and_prints_no_table(
    run: OpenedRun,
    cache: Cache,
    store: MlflowStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ["--mlruns", str(cache.root.parent), "--tracking-uri", store.uri]
    monkeypatch.setattr(sys, "argv", ["sbldm", "benchmark", run.record.run_id, "--fraction", "1", *where])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    shown = capsys.readouterr()
    assert (leaving.value.code, shown.out) == (3, "")
    errors = [line for line in shown.err.splitlines() if "error" in line]
    assert errors == [
        "sbldm: error: no table is shown, for the leakage audit fails: no model may learn from a test patient,"
        " but 1 of 2 do not hold (autoencoder at 100 %)"
    ]


def test_a_result_reads_as_a_table_and_as_json(ask: Callable[..., Any]) -> None:
    import json

    _, (_, result) = ask()
    text = describe_benchmark(result, "md")
    assert text.startswith("Dice by hand.\nThe leakage audit found no leak")
    assert "| real+synthetic | 0.25 |" in text
    document = json.loads(describe_benchmark(result, "json"))
    assert document["audit"]["holds"]
    assert len(document["scores"]) == len(result.scores)


def test_data_without_labels_are_refused(
    run: OpenedRun, cache: Cache, store: MlflowStore, rule: ModuleType, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    import search.downstream.of_run as module

    def unlabelled(run: OpenedRun, cache: Cache) -> Any:
        prepared = yield from find_data(run, cache)
        train = replace(prepared.data.train, labels=prepared.data.train.labels * 0)
        return replace(prepared, data=replace(prepared.data, train=train))

    monkeypatch.setattr(module, "find_data", unlabelled)
    with pytest.raises(DataError, match="needs label maps"):
        follow(
            benchmark_run(run, SPEC, segmentation=rule.PixelRule(), conclude=rule.conclude, cache=cache, store=store)
        )


def test_names_that_the_tracker_refuses_are_changed() -> None:
    assert metric_name("dice/lesion (T1)") == "downstream/dice/lesion _T1_"


@pytest.mark.slow
def test_two_processes_come_to_the_same_scores(ask: Callable[..., Any], tiny: ExperimentConfig) -> None:
    _, (_, alone) = ask()
    _, (_, together) = ask(SPEC.model_copy(update={"workers": 2}), name="two processes")
    assert sorted(map(str, alone.scores)) == sorted(map(str, together.scores))


KILLED = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from pixel_rule import PixelRule, train_real
from search.config import build_config
from search.downstream.job import Task
import json
if __name__ == "__main__":
    home = Path(sys.argv[1])
    rule = PixelRule(log=home / "log", killed_at=Task("real", 0.25, 1))
    train_real(build_config(json.loads(sys.argv[2])), home, rule)
"""


@pytest.mark.slow
def test_a_kill_loses_the_training_under_way_and_no_other(
    tiny: ExperimentConfig, tmp_path: Path, rule: ModuleType
) -> None:
    """SIGKILL in the midst of the third of six trainings; what follows does that one again, and the other three."""
    here = Path(__file__).parent
    (tmp_path / "killed.py").write_text(KILLED.format(paths=[str(here), str(here.parents[2])]))
    command = [sys.executable, str(tmp_path / "killed.py"), str(tmp_path), tiny.model_dump_json()]
    assert subprocess.run(command, check=False).returncode == -9
    before = (tmp_path / "log").read_text().splitlines()
    rule.train_real(tiny, tmp_path, rule.PixelRule(log=tmp_path / "log"))
    after = (tmp_path / "log").read_text().splitlines()[len(before) :]
    assert before[-1] == after[0] == "real 0.25 1"
    assert len(before) + len(after) == 6 + 1
    assert set(before) | set(after) == {f"real {fraction} {seed}" for fraction in ("0.25", "1") for seed in range(3)}


def test_what_a_benchmark_has_found_is_told_when_the_run_is_evaluated() -> None:
    result = ExperimentResult(results={}, numbers={}, digests={}, model=Path("m"), samples=Path("s"))
    name = "benchmark/gain_dice/all classes/real_synthetic at 10"
    tracked = {name: 0.0123, f"{name}_low": -0.001, f"{name}_high": 0.02, "eval/fd_lite0": 3.0}
    text = describe_result("a", result, None, as_json=False, tracked=tracked)
    assert text == f"run a\n  {name} +0.012 [-0.001, +0.020]"
    assert describe_result("a", result, None, as_json=False) == "run a"
