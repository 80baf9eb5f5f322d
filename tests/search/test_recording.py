import getpass
import json
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sbldm.errors import DivergedError
from sbldm.training import LossInterval, StepRecord, ValidationRecord
from search.cache import Cache
from search.config import ExperimentConfig, flatten, override
from search.events import ExperimentResult, StageFinished, StageStarted
from search.experiment import run_experiment
from search.recording import EVERY, record_run
from search.tracking import Artifact, Document, MemoryTracker, Params, Picture, Scalar, Tags, Tracker

Follow = Callable[..., tuple[list[Any], Any]]
SECRET = "/home/dr-mueller/patients"


@pytest.fixture(scope="module")
def recorded(
    finished: Any, tiny: ExperimentConfig, follow: Follow
) -> tuple[MemoryTracker, list[Any], ExperimentResult]:
    tracker = MemoryTracker()
    events = run_experiment(tiny, Cache(finished.home / "cache"))
    seen, result = follow(record_run(tiny, events, tracker))
    return tracker, seen, result


def scalars(tracker: MemoryTracker) -> dict[tuple[str, int], float]:
    return {(item.name, item.step): item.value for item in tracker.items if isinstance(item, Scalar)}


def step(number: int, steps: int = 25) -> StepRecord:
    return StepRecord("diffusion", number, steps, 1.0 / number, 1e-3, 2.0 * number, 0.1, 0, is_exact=True)


def test_a_tracker_in_memory_is_a_tracker() -> None:
    assert isinstance(MemoryTracker(), Tracker)


def test_every_setting_is_logged_under_its_path(recorded: Any, tiny: ExperimentConfig) -> None:
    tracker, _, _ = recorded
    (params,) = [item for item in tracker.items if isinstance(item, Params)]
    assert params.values == flatten(tiny.public())
    assert params.values["training.steps"] == "6"
    (config,) = [item for item in tracker.items if isinstance(item, Document) and item.name == "config.json"]
    assert config.value == tiny.public()


def test_every_result_is_logged_with_both_ends_of_its_interval(recorded: Any, tiny: ExperimentConfig) -> None:
    tracker, _, result = recorded
    logged = scalars(tracker)
    assert {"eval/fd_fake", "floor/fd_fake", "reconstruction/fd_fake", "untrained/fd_fake"} <= set(result.results)
    for name, measured in result.results.items():
        if math.isnan(measured.point):
            assert (name, 0) not in logged, "a withheld value is not a number to draw"
            continue
        assert logged[name, 0] == measured.point
        assert logged.get((f"{name}_low", 0)) == measured.low
        assert logged.get((f"{name}_high", 0)) == measured.high
    assert logged["eval/fd_fake_low", 0] < logged["eval/fd_fake", 0] < logged["eval/fd_fake_high", 0]
    for name, value in result.numbers.items():
        last = tiny.training.steps if name.startswith("validation/") else 0
        assert logged[name, last] == value


def test_pictures_and_model_are_kept_and_the_run_is_finished(recorded: Any) -> None:
    tracker, _, result = recorded
    pictures = {item.name: item.path for item in tracker.items if isinstance(item, Picture)}
    assert pictures == result.pictures
    assert all(path.is_file() for path in pictures.values())
    kept = {item.path.name for item in tracker.items if isinstance(item, Artifact) and item.folder == "model"}
    assert "model.json" in kept
    assert any(name.endswith(".safetensors") for name in kept)
    assert tracker.status == "FINISHED"


def test_the_watcher_sees_what_happens_as_without_a_record(
    recorded: Any, finished: Any, tiny: ExperimentConfig, follow: Follow
) -> None:
    _, seen, result = recorded
    bare, same = follow(run_experiment(tiny, Cache(finished.home / "cache")))
    assert seen == bare
    assert result.results == same.results


def test_the_documented_results_read_back_as_they_were(recorded: Any) -> None:
    tracker, _, result = recorded
    (document,) = [item for item in tracker.items if isinstance(item, Document) and item.name == "results.json"]
    assert json.loads(json.dumps(document.value, allow_nan=False)) == {
        name: each.to_json() for name, each in result.results.items()
    }


def result_of(finished: Any) -> ExperimentResult:
    return next(event.result for event in finished.events if getattr(event, "result", None))


def test_losses_are_logged_every_tenth_step_and_at_the_last(
    finished: Any, tiny: ExperimentConfig, follow: Follow
) -> None:
    def events() -> Generator[Any, None, ExperimentResult]:
        yield from (step(number) for number in range(1, 26))
        yield StageFinished("diffusion", 2.5, cached=False)
        return result_of(finished)

    tracker = MemoryTracker()
    seen, _ = follow(record_run(tiny, events(), tracker))
    logged = scalars(tracker)
    assert [number for name, number in logged if name == "diffusion/loss"] == [EVERY, 2 * EVERY, 25]
    assert logged["diffusion/loss", 10] == 0.1
    assert logged["diffusion/gradient_norm", 25] == 50.0
    assert logged["diffusion/learning_rate", 20] == 1e-3
    assert logged["seconds/diffusion", 0] == 2.5
    assert len(seen) == 26


def test_validation_losses_are_logged_at_their_step(finished: Any, tiny: ExperimentConfig, follow: Follow) -> None:
    def events() -> Generator[Any, None, ExperimentResult]:
        for number in (10, 25):
            losses = {"validation/loss_snr_-2_0": LossInterval(1 / number, math.nan, math.nan, 1)}
            yield ValidationRecord("diffusion", number, 25, losses)
        return replace(result_of(finished), numbers={"validation/loss_snr_0_2": 0.5, "cost/train_seconds": 3.0})

    tracker = MemoryTracker()
    follow(record_run(override(tiny, {"training.steps": 25}), events(), tracker))
    logged = scalars(tracker)
    assert logged["validation/loss_snr_-2_0", 10] == 0.1
    assert logged["validation/loss_snr_-2_0", 25] == 0.04
    assert ("validation/loss_snr_-2_0_low", 25) not in logged
    assert logged["validation/loss_snr_0_2", 25] == 0.5, "the curve ends with the number of the result"
    assert logged["cost/train_seconds", 0] == 3.0


def test_what_both_stages_cost_is_logged(recorded: Any) -> None:
    logged = {name for name, _ in scalars(recorded[0])}
    for cost in ("seconds_per_step", "seconds_per_epoch", "samples_per_second", "peak_memory_bytes"):
        assert {f"cost/{cost}", f"cost/autoencoder_{cost}"} <= logged


def fail_with(error: BaseException) -> Iterator[Any]:
    yield StageStarted("diffusion")
    raise error


@pytest.mark.parametrize(
    "error, status, failure",
    [
        (KeyboardInterrupt(), "KILLED", None),
        (DivergedError("loss is nan"), "FAILED", "diverged"),
        (MemoryError(), "FAILED", "MemoryError"),
    ],
)
def test_a_run_that_ends_early_says_how(
    tiny: ExperimentConfig, error: BaseException, status: str, failure: str | None
) -> None:
    tracker = MemoryTracker()
    with pytest.raises(type(error)):
        list(record_run(tiny, fail_with(error), tracker))  # type: ignore[arg-type]
    assert tracker.status == status
    tags = {key: value for item in tracker.items if isinstance(item, Tags) for key, value in item.values.items()}
    assert tags.get("sbldm.failure") == failure


def test_a_run_whose_watcher_leaves_is_killed(tiny: ExperimentConfig) -> None:
    tracker = MemoryTracker()
    events = record_run(tiny, fail_with(AssertionError()), tracker)  # type: ignore[arg-type]
    next(events)
    events.close()
    assert tracker.status == "KILLED"


def test_nothing_that_is_logged_names_a_person_or_a_folder_of_the_data(
    recorded: Any, tiny: ExperimentConfig, tmp_path: Path
) -> None:
    tracker, _, _ = recorded
    hidden = override(tiny, {"data": {"kind": "folder", "root": SECRET}, "evaluation.weights": f"{SECRET}/w.pth"})
    with pytest.raises(KeyboardInterrupt):
        list(record_run(hidden, fail_with(KeyboardInterrupt()), tracker))  # type: ignore[arg-type]
    told = [item for item in tracker.items if not isinstance(item, Picture | Artifact)]  # whose paths are not told
    assert len([item for item in told if isinstance(item, Params)]) == 2
    words = [str(leaf) for item in told for leaf in leaves(vars(item))]
    assert len(words) > 200
    for secret in (SECRET, "mueller", str(tmp_path.parent), f"{Path.home()}/"):
        assert not [word for word in words if secret in word]
    assert getpass.getuser() not in words


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list | tuple):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in leaves(part)]
    return [value]
