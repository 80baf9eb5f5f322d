"""Half precision is for products alone: weights, average and optimizer stay float32, and overflows change nothing."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from sbldm.errors import DivergedError
from sbldm.training import CheckpointStore, DiffusionTask, TrainingSpec, train
from sbldm.training.loop import MOST_OVERFLOWS

CPU = torch.device("cpu")


def overflow_at(task: DiffusionTask, bad: range) -> DiffusionTask:
    """Make the scaled gradient of these steps infinite, while the loss stays finite."""
    genuine = task.loss

    def loss(step: int, *, batch: int, seed: int, device: torch.device) -> torch.Tensor:
        value = genuine(step, batch=batch, seed=seed, device=device)
        if step in bad:
            value.register_hook(lambda gradient: gradient * float("inf"))
        return value

    task.loss = loss  # type: ignore[method-assign]
    return task


def test_an_overflow_skips_its_step_and_no_other(make_diffusion: Callable[..., DiffusionTask]) -> None:
    task = overflow_at(make_diffusion(), range(2, 3))
    spec = TrainingSpec(steps=3, batch=4, learning_rate=1e-2, precision="float16", ema_decay=0.0)
    weights, norms = [], []
    for record in train(task, spec, seed=0, device=CPU):
        weights.append([weight.detach().clone() for weight in task.module.parameters()])
        norms.append(record.gradient_norm)
    same = [all(torch.equal(a, b) for a, b in zip(one, two, strict=True)) for one, two in pairwise(weights)]
    assert same == [True, False]
    assert not torch.tensor(norms[1]).isfinite()
    assert torch.tensor([norms[0], norms[2]]).isfinite().all()
    assert all(weight.isfinite().all() for weight in weights[-1])


def test_overflows_without_end_stop_the_training(make_diffusion: Callable[..., DiffusionTask]) -> None:
    task = overflow_at(make_diffusion(), range(3, 1000))
    spec = TrainingSpec(steps=100, batch=4, precision="float16")
    records = []
    with pytest.raises(DivergedError, match="the gradient norm must be finite"):
        records.extend(train(task, spec, seed=0, device=CPU))
    assert records[-1].step == 2 + MOST_OVERFLOWS


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_weights_average_and_moments_stay_single_precision(
    make_diffusion: Callable[..., DiffusionTask], tmp_path: object, precision: str
) -> None:
    task = make_diffusion()
    seen: list[torch.dtype] = []
    task.module.get_submodule("stem").register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    store = CheckpointStore(tmp_path)  # type: ignore[arg-type]
    spec = TrainingSpec.model_validate({"steps": 2, "batch": 4, "precision": precision})
    for _ in train(task, spec, seed=0, store=store, device=CPU):
        pass
    assert set(seen) == {getattr(torch, precision)}
    checkpoint = store.latest()
    assert checkpoint is not None
    assert {tensor.dtype for tensor in checkpoint.tensors.values()} == {torch.float32}
