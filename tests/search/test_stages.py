from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sbldm.data import PreparedData
from sbldm.training import StepRecord
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.stages import BOOKED, _train, codec_stage, data_stage, network_stage

Follow = Callable[..., tuple[list[Any], Any]]


def steps(first: int, last: int, seconds: float) -> Iterator[StepRecord]:
    for step in range(first, last + 1):
        yield StepRecord("fake", step, 10, 1.0, 1e-3, 1.0, seconds, 100 + step, True)


@pytest.fixture
def cache(finished: Any) -> Cache:
    return Cache(finished.home / "cache")


@pytest.fixture
def data(tiny: ExperimentConfig, cache: Cache, follow: Follow) -> PreparedData:
    prepared: PreparedData = follow(data_stage(tiny, cache))[1].data
    return prepared


@pytest.mark.parametrize(
    "changes, shared",
    [
        ({"schedule": {"kind": "gamma", "gamma": 1.0}}, True),
        ({"schedule": {"kind": "gamma", "gamma": 2.0}}, False),
        ({"sampler.steps": 3}, True),
        ({"evaluation.samples": 5}, True),
        ({"training.commit_every": 7}, True),
        ({"training.learning_rate": 2e-3}, False),
        ({"loss": {"kind": "mse", "snr_clip": 5.0}}, False),
        ({"seed": 9}, False),
    ],
)
def test_a_training_is_shared_by_all_settings_that_make_the_same_weights(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow, changes: dict[str, Any], shared: bool
) -> None:
    def network(config: ExperimentConfig) -> str:
        codec, digest = follow(codec_stage(config, data, cache))[1]
        return str(follow(network_stage(config, data, codec, digest, cache))[1].digest)

    assert (network(tiny) == network(override(tiny, changes))) is shared


def test_a_shared_model_walks_the_schedule_that_was_asked_for(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow
) -> None:
    asked = override(tiny, {"schedule": {"kind": "gamma", "gamma": 1.0}})
    codec, digest = follow(codec_stage(asked, data, cache))[1]
    assert follow(network_stage(asked, data, codec, digest, cache))[1].model.spec.schedule == asked.schedule


def test_the_cost_of_a_training_counts_what_earlier_processes_did(
    tiny: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: Follow
) -> None:
    entry, task, spec = Cache(tmp_path).entry("fake", "0"), SimpleNamespace(digest="t"), SimpleNamespace(steps=10)
    first: Any = _run(steps(1, 4, 1.0), monkeypatch, task, spec, entry, tiny)
    for _ in range(4):
        next(first)
    first.close()
    _, costs = follow(_run(steps(5, 10, 2.0), monkeypatch, task, spec, entry, tiny))
    assert costs == {"train_seconds": 16.0, "seconds_per_step": 1.6, "peak_memory_bytes": 110}
    _, again = follow(_run(iter(()), monkeypatch, task, spec, entry, tiny))  # stopped between the last step and the end
    assert again == costs


def test_steps_are_booked_now_and_then_for_a_process_that_is_killed(
    tiny: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, task, spec = Cache(tmp_path).entry("fake", "0"), SimpleNamespace(digest="t"), SimpleNamespace(steps=BOOKED)
    events: Any = _run(steps(1, BOOKED, 1.0), monkeypatch, task, spec, entry, tiny)
    for _ in range(BOOKED - 1):
        next(events)
    assert not (entry.work / "costs.json").exists()
    next(events)
    assert (entry.work / "costs.json").exists()
    events.close()


def _run(made: Iterator[StepRecord], patch: pytest.MonkeyPatch, task: Any, spec: Any, entry: Any, config: Any) -> Any:
    patch.setattr("search.stages.train", lambda *_, **__: made)
    return _train(task, spec, 0, entry, config)
