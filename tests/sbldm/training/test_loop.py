import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbldm.errors import DivergedError, ResourceError
from sbldm.training import CheckpointStore, DiffusionTask, Task, TrainingSpec, train
from sbldm.training.task import Task as AbstractTask

CPU = torch.device("cpu")


class Bowl(AbstractTask):
    """Half the squared distance to 3, scaled; bad at one step if asked."""

    stage = "bowl"

    def __init__(self, slope: float = 1.0, bad_step: int = 0, bad: float = math.nan) -> None:
        module = torch.nn.Linear(1, 1, bias=False)
        module.weight.data.fill_(0.0)
        super().__init__(module, "bowl")
        self.slope, self.bad_step, self.bad = slope, bad_step, bad

    def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> torch.Tensor:
        (weight,) = self.module.parameters()
        loss = 0.5 * self.slope * (weight - 3).square().sum()
        return loss * self.bad if step == self.bad_step else loss


def spec(**changes: object) -> TrainingSpec:
    return TrainingSpec.model_validate({"steps": 5, "learning_rate": 0.1, "gradient_clip": None, **changes})


def test_the_first_record_is_as_by_hand() -> None:
    task = Bowl()
    record = next(train(task, spec(ema_decay=0.5), seed=0, device=CPU))
    assert (record.stage, record.step, record.steps) == ("bowl", 1, 5)
    assert record.loss == 4.5
    assert record.gradient_norm == 3.0
    assert record.learning_rate == 0.1
    (weight,), (averaged,) = task.module.parameters(), task.averaged.parameters()
    assert float(weight.detach()) == pytest.approx(0.1)  # AdamW's first step is the rate
    assert float(averaged) == pytest.approx(0.1 * 9 / 11)  # decay 2 / 11 from 0
    assert record.seconds > 0
    assert record.peak_memory_bytes > 10_000_000


def test_the_rate_follows_the_schedule() -> None:
    rates = [r.learning_rate for r in train(Bowl(), spec(schedule="cosine", warmup_steps=2), seed=0, device=CPU)]
    assert rates == pytest.approx([0.05, 0.1, 0.075, 0.025, 0.0], abs=1e-12)


def test_clipping_limits_the_step_but_not_the_reported_norm() -> None:
    task = Bowl()
    record = next(train(task, spec(gradient_clip=1e-8), seed=0, device=CPU))
    assert record.gradient_norm == 3
    # AdamW divides by |gradient| + 1e-8: a gradient of 1e-8 makes half a step
    assert float(next(task.module.parameters()).detach()) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_the_weights_of_the_step_before(bad: float, tmp_path: Path) -> None:
    reference, task = Bowl(), Bowl(bad_step=4, bad=bad)
    for record in train(reference, spec(), seed=0, device=CPU):
        if record.step == 3:
            break
    store = CheckpointStore(tmp_path)
    with pytest.raises(DivergedError, match="bowl step 4: the loss must be finite, but it is"):
        list(train(task, spec(commit_every=1), seed=0, store=store, device=CPU))
    assert torch.equal(*(next(t.module.parameters()) for t in (reference, task)))
    assert torch.equal(*(next(t.averaged.parameters()) for t in (reference, task)))
    checkpoint = store.latest()
    assert checkpoint is not None
    assert checkpoint.step == 3


def test_a_gradient_that_is_not_finite_stops_though_the_loss_is() -> None:
    class Cliff(Bowl):
        def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> torch.Tensor:
            (weight,) = self.module.parameters()
            return (weight * 0).abs().sqrt().sum() + 1.0  # infinite slope at 0

    task = Cliff()
    with pytest.raises(DivergedError, match=r"step 1: the gradient norm must be finite, but it is nan \(loss 1\)"):
        list(train(task, spec(), seed=0, device=CPU))
    assert float(next(task.module.parameters()).detach()) == 0


def test_memory_that_runs_out_is_explained() -> None:
    class Huge(Bowl):
        def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    with pytest.raises(ResourceError, match="not enough memory for a batch of 16; lower the batch size"):
        list(train(Huge(), spec(), seed=0, device=CPU))


def test_another_error_is_passed_on_as_it_is() -> None:
    class Broken(Bowl):
        def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> torch.Tensor:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        list(train(Broken(), spec(), seed=0, device=CPU))


def test_the_global_generator_is_left_alone(make_task: Callable[[], Task], short: TrainingSpec) -> None:
    before = torch.get_rng_state()
    for _ in train(make_task(), short, seed=0, device=CPU):
        pass
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_seed_trains_the_same_and_another_does_not(make_task: Callable[[], Task], short: TrainingSpec) -> None:
    one, same, other = ([r.loss for r in train(make_task(), short, seed=s, device=CPU)] for s in (0, 0, 1))
    assert one == same
    assert one[0] != other[0]


@pytest.mark.parametrize("precision, exact", [("float32", True), ("bfloat16", False), ("float16", False)])
def test_each_precision_trains_to_nearly_the_same(
    make_task: Callable[[], Task], short: TrainingSpec, precision: str, exact: bool
) -> None:
    reference = [r.loss for r in train(make_task(), short, seed=0, device=CPU)]
    found = [r.loss for r in train(make_task(), short.model_copy(update={"precision": precision}), seed=0, device=CPU)]
    assert (found == reference) is exact
    assert found == pytest.approx(reference, rel=0.1)


def test_the_network_trains_and_its_average_only_follows(
    make_diffusion: Callable[..., DiffusionTask], short: TrainingSpec
) -> None:
    task = make_diffusion()
    assert task.module is not task.averaged
    for _ in train(task, short, seed=0, device=CPU):
        assert task.module.training
        assert not task.averaged.training
    assert not any(weight.requires_grad for weight in task.averaged.parameters())
