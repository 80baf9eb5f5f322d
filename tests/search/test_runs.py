import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sbldm.errors import RunError
from sbldm.training import StepRecord
from search.cache import Cache
from search.config import ExperimentConfig
from search.events import StageFinished
from search.locks import holding
from search.runner import TrialFinished
from search.runs import evaluate_run, open_run, sample_run, train_run
from search.tracking import MlflowStore

Follow = Callable[..., tuple[list[Any], Any]]


@pytest.fixture
def cache(finished: Any) -> Cache:
    return Cache(finished.home / "cache")


@pytest.fixture(scope="module")
def trial(finished: Any) -> TrialFinished:
    return next(event for event in finished.events if isinstance(event, TrialFinished))


def test_a_run_opens_by_its_beginning_with_its_settings_and_weights(
    trial: TrialFinished, tiny: ExperimentConfig, cache: Cache, store: MlflowStore
) -> None:
    run = open_run(trial.run_id[:12], cache=cache, store=store)
    assert run.record.run_id == trial.run_id
    assert run.config == tiny
    assert run.trained.directory == trial.result.model


def test_a_run_opens_with_changed_settings(trial: TrialFinished, cache: Cache, store: MlflowStore) -> None:
    run = open_run(trial.run_id, cache=cache, store=store, changes={"evaluation.samples": 5})
    assert run.config.evaluation.samples == 5


def test_an_unknown_beginning_is_refused(finished: Any, cache: Cache, store: MlflowStore) -> None:
    with pytest.raises(RunError, match="no run with id 'zzz'"):
        open_run("zzz", cache=cache, store=store)


def test_a_beginning_of_several_ids_is_refused(finished: Any, cache: Cache, store: MlflowStore) -> None:
    while len(firsts := [run.run_id[0] for run in store.runs()]) == len(set(firsts)):  # 17 runs share one of 16 digits
        store.start("one more", kind="run")
    twice = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(RunError, match=f"'{twice}' fits {firsts.count(twice)} runs"):
        open_run(twice, cache=cache, store=store)


@pytest.mark.parametrize("prefix", ["", "../mlflow", "a%", "a' OR '1'='1"])
def test_what_is_no_id_is_refused(store: MlflowStore, cache: Cache, prefix: str) -> None:
    with pytest.raises(RunError, match="letters and digits"):
        open_run(prefix, cache=cache, store=store)


def test_a_run_without_settings_or_model_is_refused_by_name(
    finished: Any, tiny: ExperimentConfig, cache: Cache, store: MlflowStore
) -> None:
    with pytest.raises(RunError, match=r"config\.json"):
        open_run(finished.parent, cache=cache, store=store)
    events = train_run(tiny, name="stopped", cache=cache, store=store)
    next(events)
    events.close()
    (run,) = [run for run in store.runs(kind="run") if run.name == "stopped"]
    assert run.status == "KILLED"
    with pytest.raises(RunError, match=r"\(stopped\) holds no model: it is KILLED"):
        open_run(run.run_id, cache=cache, store=store)


def test_samples_are_the_same_each_time_and_others_with_another_seed(
    trial: TrialFinished, cache: Cache, store: MlflowStore, tmp_path: Path, follow: Follow
) -> None:
    run = open_run(trial.run_id, cache=cache, store=store)
    _, first = follow(sample_run(run, 5, seed=3, cache=Cache(tmp_path / "first")))
    _, again = follow(sample_run(run, 5, seed=3, cache=Cache(tmp_path / "again")))
    _, other = follow(sample_run(run, 5, seed=4, cache=Cache(tmp_path / "first")))
    _, fewer = follow(sample_run(run, 2, seed=3, cache=Cache(tmp_path / "first")))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)
    torch.testing.assert_close(fewer.images, first.images[:2])  # another batch shape rounds differently
    with np.load(first.path) as arrays:
        np.testing.assert_array_equal(arrays["images"], first.images.numpy())
        assert 0 <= arrays["images"].min() <= arrays["images"].max() <= 1


def test_a_run_is_evaluated_again_without_training_even_where_the_cache_is_gone(
    trial: TrialFinished, store: MlflowStore, tmp_path: Path, follow: Follow, finished: Any
) -> None:
    shutil.copytree(finished.home / "cache", tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache" / "diffusion")
    cache = Cache(tmp_path / "cache")
    run = open_run(trial.run_id, cache=cache, store=store, changes={"evaluation.samples": 16, "evaluation.level": 0.5})
    before = store.find(trial.run_id)
    events, result = follow(evaluate_run(run, cache=cache, store=store))
    assert not [event for event in events if isinstance(event, StepRecord)]
    assert not {event.stage for event in events if isinstance(event, StageFinished)} & {"autoencoder", "diffusion"}
    after = store.find(trial.run_id)
    assert after.status == "FINISHED"
    assert after.params == before.params
    assert result.results["eval/fd_fake"].level == 0.5
    assert result.results["eval/fd_fake"].n["generated"] == 16
    assert after.metrics["eval/fd_fake"] == result.results["eval/fd_fake"].point != before.metrics["eval/fd_fake"]
    assert store.results(trial.run_id) == result.results
    _, restored = follow(evaluate_run(open_run(trial.run_id, cache=cache, store=store), cache=cache, store=store))
    assert restored.results == trial.result.results


def test_a_run_is_not_evaluated_on_another_split_of_the_patients(
    trial: TrialFinished, store: MlflowStore, tmp_path: Path, finished: Any, follow: Follow
) -> None:
    shutil.copytree(finished.home / "cache" / "diffusion", tmp_path / "diffusion")
    cache = Cache(tmp_path)
    split = {"train": 0.6, "validation": 0.1, "test": 0.3, "seed": 9}
    run = open_run(trial.run_id, cache=cache, store=store, changes={"split": split})
    with pytest.raises(RunError, match="another split of the patients"):
        follow(evaluate_run(run, cache=cache, store=store))


def test_a_run_of_its_own_is_trained_and_tracked(
    tiny: ExperimentConfig, trial: TrialFinished, cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    _, (run_id, result) = follow(train_run(tiny, name="alone", cache=cache, store=store))
    assert result.results == trial.result.results
    run = store.find(run_id)
    assert (run.name, run.status, run.tags["sbldm.kind"]) == ("alone", "FINISHED", "run")


def test_a_run_whose_process_died_is_told_killed_and_a_living_one_is_left_alone(
    tiny: ExperimentConfig, cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    dead, living, strange = store.start("dead", kind="run"), store.start("living", kind="run"), "0" * 32
    for run_id in (dead, living, strange):
        (cache.root / "running").mkdir(exist_ok=True)
        (cache.root / "running" / f"{run_id}.lock").touch()
    with holding(cache.root / "running" / f"{living}.lock"):
        events = train_run(tiny, name="next", cache=cache, store=store)
        next(events)
        (mine,) = [run for run in store.runs() if run.name == "next"]
        assert store.find(mine.run_id).status == "RUNNING"
        assert [store.find(run_id).status for run_id in (dead, living)] == ["KILLED", "RUNNING"]
        names = {path.stem for path in (cache.root / "running").glob("*.lock")}
        assert names == {living, strange, mine.run_id}
        events.close()
    assert store.find(mine.run_id).status == "KILLED"
    assert not (cache.root / "running" / f"{mine.run_id}.lock").exists()
