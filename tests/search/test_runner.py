import gc
import math
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sbldm.training import StepRecord
from search.config import ExperimentConfig
from search.events import StageFinished, StageStarted
from search.queue import TrialQueue
from search.runner import TrialFinished, TrialStarted, objective, plan, run_study
from search.study import Study
from search.tracking import MlflowStore

Follow = Callable[..., tuple[list[Any], Any]]


def only(events: Any, kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def by_label(store: MlflowStore, name: str) -> dict[str, Any]:
    return {run.name: run for run in store.runs(study=name, kind="trial")}


def test_every_cell_becomes_one_tracked_run_below_the_studys_own(finished: Any, store: MlflowStore) -> None:
    runs = by_label(store, finished.name)
    assert set(runs) == {f"{cell.label} seed=0" for cell in finished.study.cells()}
    assert {run.status for run in runs.values()} == {"FINISHED"}
    assert {run.tags["mlflow.parentRunId"] for run in runs.values()} == {finished.parent}
    (study,) = store.runs(study=finished.name, kind="study")
    assert (study.run_id, study.status) == (finished.parent, "FINISHED")
    assert study.metrics["trials/complete"] == 2
    assert study.metrics["trials/failed"] == 0


def test_what_is_tracked_equals_what_was_found(finished: Any, store: MlflowStore) -> None:
    ends = only(finished.events, TrialFinished)
    assert len(ends) == 2
    for end in ends:
        (run,) = [run for run in store.runs(study=finished.name, kind="trial") if run.run_id == end.run_id]
        for name, result in end.result.results.items():
            assert run.metrics.get(name, math.nan) == pytest.approx(result.point, rel=0, abs=0, nan_ok=True)
            assert run.metrics.get(f"{name}_low") == result.low
            assert run.metrics.get(f"{name}_high") == result.high
        for name, value in end.result.numbers.items():
            assert run.metrics[name] == value
        assert store.results(end.run_id) == end.result.results


def test_the_studys_run_names_its_best_trial(finished: Any, store: MlflowStore) -> None:
    best = min(only(finished.events, TrialFinished), key=lambda end: objective(end.result))
    (study,) = store.runs(study=finished.name, kind="study")
    assert study.metrics["best/fd"] == objective(best.result)
    assert f"{study.tags['sbldm.best']} seed=0" == best.label


def test_cells_that_share_a_stage_train_it_once(finished: Any, tiny: ExperimentConfig) -> None:
    steps = [event.stage for event in only(finished.events, StepRecord)]
    assert steps.count("autoencoder") == tiny.autoencoder_training.steps
    assert steps.count("diffusion") == 2 * tiny.training.steps


def test_what_does_not_depend_on_the_samples_is_made_once_for_all_trials(finished: Any) -> None:
    made = [event.stage for event in only(finished.events, StageFinished) if not event.cached]
    once = ("data", "autoencoder", "latents", "yardsticks", "reference")
    assert {stage: made.count(stage) for stage in once} == dict.fromkeys(once, 1)
    assert {stage: made.count(stage) for stage in ("diffusion", "audit")} == {"diffusion": 2, "audit": 2}
    assert made.count("diversity") == made.count("pictures") == 2 + 1  # of either trial's samples, and of real slices


def test_the_same_command_again_runs_no_trial(
    finished: Any, tiny: ExperimentConfig, store: MlflowStore, follow: Follow
) -> None:
    before = by_label(store, finished.name)
    events, parent = follow(
        run_study(finished.study, tiny, seeds=[0], home=finished.home, store=store, name=finished.name)
    )
    assert events == []
    assert parent == finished.parent
    assert by_label(store, finished.name) == before


def test_another_instance_of_the_study_finds_every_stage_ready_and_the_same_numbers(
    finished: Any, tiny: ExperimentConfig, store: MlflowStore, follow: Follow
) -> None:
    events, parent = follow(run_study(finished.study, tiny, seeds=[0], home=finished.home, store=store, name="again"))
    assert only(events, StepRecord) == []
    assert all(stage.cached for stage in only(events, StageFinished))
    assert parent != finished.parent
    first, again = (
        {end.label: end.result.results for end in only(seen, TrialFinished)} for seen in (finished.events, events)
    )
    assert first == again


def test_more_seeds_are_added_to_what_is_done(
    finished: Any, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, follow: Follow
) -> None:
    (tmp_path / "cache").symlink_to(finished.home / "cache")

    def run(seeds: range, trials: int) -> list[str]:
        events, _ = follow(
            run_study(finished.study, tiny, seeds=seeds, home=tmp_path, store=store, name="seeds", trials=trials)
        )
        return [end.label for end in only(events, TrialFinished)]

    assert run(range(2), 1) == ["cutmix.probability=0 seed=0"]
    assert run(range(1), 9) == [  # a seed that this command does not name was planned by the one before
        "cutmix.probability=1 seed=0",
        "cutmix.probability=0 seed=1",
        "cutmix.probability=1 seed=1",
    ]
    assert run(range(2), 9) == []


def test_a_trial_that_is_stopped_before_its_first_stage_is_killed_and_no_crash(
    mixing: Study, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path
) -> None:
    events = run_study(mixing, tiny, seeds=[0], home=tmp_path, store=store, name="at-once")
    assert isinstance(next(events), TrialStarted)
    events.close()
    assert [run.status for run in store.runs(study="at-once", kind="trial")] == ["KILLED"]
    assert [trial.get("crashes", 0) for trial in TrialQueue(tmp_path, "at-once").waiting()] == [0, 0]


@pytest.mark.parametrize("how", ["closed", "interrupted"])
def test_a_stopped_study_goes_on_with_the_same_run_to_the_same_numbers(
    finished: Any, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, follow: Follow, how: str
) -> None:
    def start() -> Generator[Any, None, str]:
        return run_study(finished.study, tiny, seeds=[0], home=tmp_path, store=store, name=f"stopped-{how}")

    for stage in ("data", "autoencoder"):  # the network alone is trained
        shutil.copytree(finished.home / "cache" / stage, tmp_path / "cache" / stage)
    events = start()
    run_id = stop_in_training(events, 3, how)
    gc.collect()  # the stopped stage frees its lock when it is forgotten, as when a process ends
    assert {run.run_id: run.status for run in store.runs(study=f"stopped-{how}", kind="trial")} == {run_id: "KILLED"}
    assert [run.status for run in store.runs(study=f"stopped-{how}", kind="study")] == ["KILLED"]
    again, _ = follow(start())
    assert run_id in [event.run_id for event in only(again, TrialStarted)]
    assert {run.status for run in store.runs(study=f"stopped-{how}", kind="trial")} == {"FINISHED"}
    assert len(store.runs(study=f"stopped-{how}", kind="trial")) == 2
    steps = [event.step for event in only(again, StepRecord) if event.stage == "diffusion"]
    assert sorted(steps) == [1, 2, 3, 4, 4, 5, 5, 6, 6]  # the other cell's, and what was left of this one's
    whole, resumed = (
        {end.label: end.result.results for end in only(seen, TrialFinished)} for seen in (finished.events, again)
    )
    assert resumed == whole


def stop_in_training(events: Generator[Any, None, str], step: int, how: str) -> str:
    run_id = ""
    for event in events:
        if isinstance(event, TrialStarted):
            run_id = event.run_id
        if isinstance(event, StepRecord) and event.stage == "diffusion" and event.step == step:
            break
    if how == "closed":
        events.close()
        return run_id
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    return run_id


def test_a_diverged_trial_fails_for_good_and_the_others_complete(
    finished: Any, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, follow: Follow
) -> None:
    (tmp_path / "cache").symlink_to(finished.home / "cache")
    study = Study(
        name="rates",
        question="How fast?",
        axes={"training.learning_rate": (1e30, 1e-3)},
        baseline="training.learning_rate=0.001",
        run_time="seconds",
    )
    events, _ = follow(run_study(study, tiny, seeds=[0], home=tmp_path, store=store, name="rates"))
    failed, good = only(events, TrialFinished)
    assert failed.result is None
    assert "lower learning_rate" in failed.reason
    assert good.result is not None
    runs = by_label(store, "rates")
    assert {name: run.status for name, run in runs.items()} == {failed.label: "FAILED", good.label: "FINISHED"}
    assert runs[failed.label].tags["sbldm.failure"] == "diverged"
    again, _ = follow(run_study(study, tiny, seeds=[0], home=tmp_path, store=store, name="rates"))
    assert again == []
    assert TrialQueue(tmp_path, "rates").counts() == {
        "COMPLETE": 1,
        "PRUNED": 0,
        "RUNNING": 0,
        "WAITING": 0,
        "FAILED": 1,
    }


def test_an_unforeseen_error_stops_the_study_and_the_trial_is_tried_again_later(
    finished: Any, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> Iterator[Any]:
        yield StageStarted("data")
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("search.runner.run_experiment", crash)
    events = run_study(finished.study, tiny, seeds=[0], home=tmp_path, store=store, name="fire")
    with pytest.raises(RuntimeError, match="disk on fire"):
        list(events)
    (run,) = store.runs(study="fire", kind="trial")
    assert (run.status, run.tags["sbldm.failure"]) == ("FAILED", "RuntimeError")
    lease = TrialQueue(tmp_path, "fire").next()
    assert lease is not None
    queue = TrialQueue(tmp_path, "fire")
    assert [lease.attributes["run"] for lease in iter(queue.next, None) if "run" in lease.attributes] == [run.run_id]


def test_a_plan_gives_each_trial_its_seed_and_leaves_the_autoencoders_alone(
    mixing: Study, tiny: ExperimentConfig
) -> None:
    trials = plan(mixing, tiny, [0, 5])
    assert [(trial.config.seed, trial.config.cutmix.probability) for trial in trials] == [
        (0, 0.0),
        (0, 1.0),
        (5, 0.0),
        (5, 1.0),
    ]
    assert {trial.config.autoencoder_seed for trial in trials} == {tiny.autoencoder_seed}
