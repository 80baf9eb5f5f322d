"""An interrupted run ends as an uninterrupted one: weights, averages, optimizer and losses, to the bit."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbldm.errors import RunError
from sbldm.training import CheckpointStore, DiffusionTask, Task, TrainingSpec, train

MakeTask = Callable[[], Task]
State = dict[str, torch.Tensor]


def finish(make_task: MakeTask, spec: TrainingSpec, directory: Path) -> State:
    """Train to the end from whatever is there, and return all that the last checkpoint holds."""
    store = CheckpointStore(directory)
    for _ in train(make_task(), spec, seed=5, store=store, device=torch.device("cpu")):
        pass
    checkpoint = store.latest()
    assert checkpoint is not None
    assert checkpoint.step == spec.steps
    return checkpoint.tensors


class PowerCut(BaseException):
    """Ends a run in the middle of a step, so that nothing is committed on the way out."""


def interrupt(make_task: MakeTask, spec: TrainingSpec, directory: Path, steps: int) -> None:
    """Train so many steps from whatever is there, and fail in the next."""
    task = make_task()
    genuine, calls = task.loss, 0

    def failing(*arguments: object, **named: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > steps:
            raise PowerCut
        return genuine(*arguments, **named)  # type: ignore[arg-type]

    task.loss = failing  # type: ignore[method-assign]
    with pytest.raises(PowerCut):
        list(train(task, spec, seed=5, store=CheckpointStore(directory), device=torch.device("cpu")))


def assert_same(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@pytest.mark.parametrize("stops", [(5,), (4, 1, 6), (1, 9, 1, 1)])
def test_an_interrupted_run_equals_an_uninterrupted_one(
    make_task: MakeTask, short: TrainingSpec, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    whole = finish(make_task, short, tmp_path / "whole")
    for steps in stops:
        interrupt(make_task, short, tmp_path / "parts", steps)
    assert_same(finish(make_task, short, tmp_path / "parts"), whole)


def test_the_losses_after_a_resume_are_those_of_the_uninterrupted_run(
    make_task: MakeTask, short: TrainingSpec, tmp_path: Path
) -> None:
    whole = [record.loss for record in train(make_task(), short, seed=5, device=torch.device("cpu"))]
    interrupt(make_task, short, tmp_path, 7)  # committed at step 4
    rest = [
        (record.step, record.loss)
        for record in train(make_task(), short, seed=5, store=CheckpointStore(tmp_path), device=torch.device("cpu"))
    ]
    assert rest == list(enumerate(whole, start=1))[4:]


def test_dropout_is_part_of_an_exact_resume(
    make_diffusion: Callable[..., DiffusionTask], short: TrainingSpec, tmp_path: Path
) -> None:
    def make() -> Task:
        task = make_diffusion()
        task.module.get_submodule("head").insert(1, torch.nn.Dropout(0.3))  # type: ignore[operator]
        task.averaged.get_submodule("head").insert(1, torch.nn.Dropout(0.3))  # type: ignore[operator]
        return task

    whole = finish(make, short, tmp_path / "whole")
    torch.manual_seed(int(time.time()))  # whatever the global generator holds must not matter
    interrupt(make, short, tmp_path / "parts", 6)
    assert_same(finish(make, short, tmp_path / "parts"), whole)


@pytest.mark.parametrize("part", ["averaged", "optimizer", "module"])
def test_forgetting_any_part_of_the_state_would_be_noticed(
    make_diffusion: Callable[..., DiffusionTask],
    short: TrainingSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    whole = finish(make_diffusion, short, tmp_path / "whole")
    interrupt(make_diffusion, short, tmp_path / "parts", 6)
    from sbldm.training import state

    def forgetful(prefix: str, tensors: State) -> State:
        kept = genuine(prefix, tensors)
        if prefix != part:
            return kept
        fresh = genuine(prefix, first)
        return {key: fresh[key] if key in fresh else torch.zeros_like(kept[key]) for key in kept}

    genuine = state.under
    start = make_diffusion()
    first = {
        f"{name}.{key}": value.clone()
        for name in ("module", "averaged")
        for key, value in getattr(start, name).state_dict().items()
    }
    monkeypatch.setattr(state, "under", forgetful)
    with pytest.raises(AssertionError):
        assert_same(finish(make_diffusion, short, tmp_path / "parts"), whole)


def test_a_damaged_checkpoint_costs_steps_but_not_exactness(
    make_diffusion: Callable[..., DiffusionTask], short: TrainingSpec, tmp_path: Path
) -> None:
    whole = finish(make_diffusion, short, tmp_path / "whole")
    interrupt(make_diffusion, short, tmp_path / "parts", 10)  # committed at steps 4 and 8
    (tmp_path / "parts" / "step-000000008.safetensors").write_bytes(b"")
    records = train(make_diffusion(), short, seed=5, store=CheckpointStore(tmp_path / "parts"))
    assert next(records).step == 5
    assert_same(finish(make_diffusion, short, tmp_path / "parts"), whole)


def test_a_caller_who_stops_early_keeps_the_last_step(
    make_diffusion: Callable[..., DiffusionTask], short: TrainingSpec, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path)
    for record in train(make_diffusion(), short, seed=5, store=store):
        if record.step == 3:
            break
    checkpoint = store.latest()
    assert checkpoint is not None
    assert checkpoint.step == 3


def test_a_checkpoint_waits_until_the_caller_has_seen_its_step(
    make_diffusion: Callable[..., DiffusionTask], short: TrainingSpec, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path)
    for record in train(make_diffusion(), short, seed=5, store=store):
        checkpoint = store.latest()
        assert (checkpoint.step if checkpoint else 0) == (record.step - 1) // 4 * 4


def test_a_finished_run_has_nothing_left_to_do_but_its_result(
    make_diffusion: Callable[..., DiffusionTask], short: TrainingSpec, tmp_path: Path
) -> None:
    whole = finish(make_diffusion, short, tmp_path)
    task = make_diffusion()
    assert list(train(task, short, seed=5, store=CheckpointStore(tmp_path))) == []
    for key, value in task.averaged.state_dict().items():
        assert torch.equal(value, whole[f"averaged.{key}"])


def test_time_alone_makes_a_checkpoint_due(
    make_diffusion: Callable[..., DiffusionTask], short: TrainingSpec, tmp_path: Path
) -> None:
    hasty = short.model_copy(update={"commit_every": 1000, "commit_seconds": 1e-9})
    interrupt(make_diffusion, hasty, tmp_path, 4)
    checkpoint = CheckpointStore(tmp_path).latest()
    assert checkpoint is not None
    assert checkpoint.step == 4


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"learning_rate": 1e-4}, "learning_rate is 0.0001 but was 0.003"),
        ({"ema_decay": 0.5, "batch": 3}, "batch is 3 but was 7; ema_decay is 0.5 but was 0.9"),
    ],
)
def test_other_settings_are_refused_by_name(
    make_diffusion: Callable[..., DiffusionTask],
    short: TrainingSpec,
    tmp_path: Path,
    changes: dict[str, float],
    message: str,
) -> None:
    interrupt(make_diffusion, short, tmp_path, 6)
    other = short.model_copy(update=changes)
    with pytest.raises(RunError, match=message):
        next(train(make_diffusion(), other, seed=5, store=CheckpointStore(tmp_path)))


def test_other_data_another_stage_and_another_seed_are_refused(
    make_diffusion: Callable[..., DiffusionTask],
    make_autoencoder: MakeTask,
    short: TrainingSpec,
    tmp_path: Path,
) -> None:
    interrupt(make_diffusion, short, tmp_path, 6)
    store = CheckpointStore(tmp_path)
    with pytest.raises(RunError, match="task is"):
        next(train(make_diffusion(latents=torch.zeros(40, 3, 4, 4)), short, seed=5, store=store))
    with pytest.raises(RunError, match="stage is 'autoencoder' but was 'diffusion'"):
        next(train(make_autoencoder(), short, seed=5, store=store))
    with pytest.raises(RunError, match="seed is 6 but was 5"):
        next(train(make_diffusion(), short, seed=6, store=store))


def test_how_often_to_commit_may_change(
    make_diffusion: Callable[..., DiffusionTask], short: TrainingSpec, tmp_path: Path
) -> None:
    whole = finish(make_diffusion, short, tmp_path / "whole")
    interrupt(make_diffusion, short, tmp_path / "parts", 6)
    often = short.model_copy(update={"commit_every": 1})
    assert_same(finish(make_diffusion, often, tmp_path / "parts"), whole)


def test_a_resume_on_another_kind_of_machine_says_so(
    make_diffusion: Callable[..., DiffusionTask],
    short: TrainingSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    interrupt(make_diffusion, short, tmp_path, 6)
    monkeypatch.setattr("sbldm.training.loop.fingerprint", lambda device, dtype: {"cpu": "abacus"})
    records = list(train(make_diffusion(), short, seed=5, store=CheckpointStore(tmp_path)))
    assert not any(record.is_exact for record in records)
    assert "not exact to the bit" in caplog.text
