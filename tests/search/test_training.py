import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sbldm.data import PreparedData
from sbldm.nn.weights import from_bytes
from sbldm.training import LossInterval, StepRecord, ValidationRecord, World
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.stages import codec_stage, data_stage, network_stage
from search.training import BOOKED, recall_costs, track_costs, train_task

Follow = Callable[..., tuple[list[Any], Any]]


def steps(first: int, last: int, seconds: float) -> Iterator[StepRecord]:
    for step in range(first, last + 1):
        yield StepRecord("fake", step, 10, 1.0, 1e-3, 1.0, seconds, 100 + step, True)


class FakeWatch:
    due = frozenset({4, 10})

    def measure(self, network: Any, stage: str, step: int, steps: int) -> ValidationRecord:
        return ValidationRecord(
            stage, step, steps, {"validation/loss_snr_-2_0": LossInterval(float(step), 1.0, math.nan, 2)}
        )


def run(made: Iterator[StepRecord], patch: pytest.MonkeyPatch, home: Path, config: Any, **more: Any) -> Any:
    patch.setattr("search.training.train", lambda *_, **__: made)
    task: Any = SimpleNamespace(digest="t", stage="fake", averaged=None)
    spec: Any = SimpleNamespace(steps=more.pop("steps", 10), batch=4)
    return train_task(task, spec, 0, Cache(home).entry("fake", "0"), config, count=10, **more)


def ledger(home: Path) -> Path:
    return Cache(home).entry("fake", "0").work / "costs.json"


def test_the_cost_of_a_training_counts_what_earlier_processes_did(
    tiny: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: Follow
) -> None:
    """By hand: 4 steps of 1 s and 6 of 2 s are 1.6 s a step; 10 slices in batches of 4 are 2.5 steps, so 4 s."""
    first: Any = run(steps(1, 4, 1.0), monkeypatch, tmp_path, tiny)
    for _ in range(4):
        next(first)
    first.close()
    _, costs = follow(run(steps(5, 10, 2.0), monkeypatch, tmp_path, tiny))
    assert costs == {
        "train_seconds": 16.0,
        "seconds_per_step": 1.6,
        "seconds_per_epoch": 4.0,
        "samples_per_second": 2.5,
        "peak_memory_bytes": 110,
        "cpu_seconds": 16.0,
    }
    _, again = follow(run(iter(()), monkeypatch, tmp_path, tiny))  # stopped between the last step and the end
    assert again == costs


def test_processes_that_train_together_take_a_device_each(
    tiny: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: Follow
) -> None:
    monkeypatch.setattr("search.training.current_world", lambda: World(0, 3))
    _, costs = follow(run(steps(1, 10, 1.0), monkeypatch, tmp_path, tiny))
    assert (costs["train_seconds"], costs["cpu_seconds"]) == (10.0, 30.0)
    assert "gpu_seconds" not in costs


def test_steps_are_booked_now_and_then_for_a_process_that_is_killed(
    tiny: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: Any = run(steps(1, BOOKED, 1.0), monkeypatch, tmp_path, tiny, steps=BOOKED)
    for _ in range(BOOKED - 1):
        next(events)
    assert not ledger(tmp_path).exists()
    next(events)
    assert ledger(tmp_path).exists()
    events.close()


def test_validation_is_told_where_it_is_due_and_the_last_is_kept(
    tiny: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: Follow
) -> None:
    watch: Any = FakeWatch()
    seen, found = follow(run(steps(1, 10, 1.0), monkeypatch, tmp_path, tiny, watch=watch))
    assert [each.step for each in seen if isinstance(each, ValidationRecord)] == [4, 10]
    assert found["validation/loss_snr_-2_0"] == 10
    assert found["validation/loss_snr_-2_0_low"] == 1.0
    assert "validation/loss_snr_-2_0_high" not in found, "what is not known is no number"
    _, again = follow(run(iter(()), monkeypatch, tmp_path, tiny, watch=watch))
    assert again == found, "a training that was whole is measured too"


def test_a_helping_process_books_and_measures_nothing(
    tiny: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: Follow
) -> None:
    monkeypatch.setattr("search.training.current_world", lambda: World(1, 2))
    watch: Any = FakeWatch()
    seen, found = follow(run(iter(()), monkeypatch, tmp_path, tiny, watch=watch))
    assert seen == []
    assert not [name for name in found if name.startswith("validation/")]
    assert not ledger(tmp_path).exists()


def test_costs_survive_the_tracker_and_gaps_in_older_entries() -> None:
    network = {"seconds": 9.0, "seconds_per_step": 0.5, "validation/loss_snr_0_2": 0.3}
    tracked = track_costs(network, {"seconds": 3.0, "peak_memory_bytes": 7})
    assert tracked == {
        "cost/seconds_per_step": 0.5,
        "cost/autoencoder_peak_memory_bytes": 7.0,
        "validation/loss_snr_0_2": 0.3,
    }
    assert recall_costs(tracked | {"eval/fd_lite0": 1.0, "cost/network_calls": 50.0}) == tracked


def test_a_cached_network_reports_the_same_validation_losses_and_its_weights_never_heard_of_them(
    tiny: ExperimentConfig, tmp_path: Path, follow: Follow
) -> None:
    found = {}
    for looks in (0, 3):
        cache = Cache(tmp_path / str(looks))
        config = override(tiny, {"training.validations": looks})
        data: PreparedData = follow(data_stage(config, cache))[1].data
        codec, digest = follow(codec_stage(config, data, cache))[1]
        seen, trained = follow(network_stage(config, data, codec, digest, cache))
        again = follow(network_stage(config, data, codec, digest, cache))[1]
        assert again.costs == trained.costs
        told = [each for each in seen if isinstance(each, ValidationRecord)]
        (weights,) = trained.directory.glob("weights-*.safetensors")
        found[looks] = trained.costs, told, from_bytes(weights.read_bytes(), "weights")
    (without, silent, one), (costs, told, other) = found[0], found[3]
    assert not silent
    assert not [name for name in without if name.startswith("validation/")]
    assert told[-1].step == 6
    assert told[-1].numbers().items() <= costs.items()
    assert all(one[name].equal(other[name]) for name in one)
