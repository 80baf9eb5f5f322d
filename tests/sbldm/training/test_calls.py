"""Parts, checkpointed blocks and the compiler change how a module is called, never what a step does."""

import logging
from collections.abc import Callable

import pytest
import torch

from sbldm.training import AutoencoderTask, DiffusionTask, Task, TrainingSpec, train
from sbldm.training.calls import BLOCKS, CallPath
from sbldm.training.distributed import World

CPU = torch.device("cpu")
UNET = {"kind": "unet", "model_channels": 8, "channel_mult": (1, 2), "num_res_blocks": 1, "head_channels": 8}


def gradients(task: Task, spec: TrainingSpec) -> list[torch.Tensor]:
    """Return the gradient of one loss through the module as these settings call it."""
    with CallPath(task.module, spec, World()).active():
        task.loss(1, batch=spec.batch, seed=0, device=CPU).backward()
    return [weight.grad for weight in task.module.parameters() if weight.grad is not None]


def spec(**changes: object) -> TrainingSpec:
    return TrainingSpec.model_validate({"steps": 4, "batch": 12, "learning_rate": 1e-3, **changes})


@pytest.mark.parametrize("accumulate", [2, 3, 12])
def test_the_gradient_in_parts_is_the_gradient_of_the_whole_batch(
    make_task: Callable[[], Task], accumulate: int
) -> None:
    whole, parts = gradients(make_task(), spec()), gradients(make_task(), spec(accumulate=accumulate))
    assert len(whole) > 5
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_the_loss_curve_in_parts_is_that_of_the_whole_batch(make_task: Callable[[], Task]) -> None:
    whole, parts = ([r.loss for r in train(make_task(), spec(accumulate=k), seed=0, device=CPU)] for k in (1, 4))
    assert parts == pytest.approx(whole, rel=1e-4)
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)


def test_the_module_sees_parts_and_keeps_its_methods(make_diffusion: Callable[..., DiffusionTask]) -> None:
    task = make_diffusion()
    seen: list[int] = []
    task.module.stem.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))  # type: ignore[union-attr,operator]
    methods = set(vars(task.module))
    gradients(task, spec(accumulate=3))
    assert seen == [4] * 6  # three parts, each once forth and once back
    assert set(vars(task.module)) == methods


@pytest.mark.parametrize("name", ["unet", "autoencoder"])
def test_checkpointed_blocks_give_the_same_gradient_and_keep_less(
    make_diffusion: Callable[..., DiffusionTask], make_autoencoder: Callable[..., AutoencoderTask], name: str
) -> None:
    def kept(checkpoint: bool) -> tuple[int, list[torch.Tensor]]:
        task = make_diffusion(network=UNET) if name == "unet" else make_autoencoder()
        held = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal held
            held += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            found = gradients(task, spec(checkpoint_activations=checkpoint))
        return held, found

    (all_held, whole), (few_held, again) = kept(False), kept(True)
    assert all(torch.equal(one, other) for one, other in zip(whole, again, strict=True))
    assert few_held < 0.6 * all_held


def test_the_blocks_to_checkpoint_are_found_in_every_module(
    make_diffusion: Callable[..., DiffusionTask], make_autoencoder: Callable[..., AutoencoderTask]
) -> None:
    for task in (make_diffusion(network=UNET), make_diffusion(), make_autoencoder()):
        blocks = [module for module in task.module.modules() if type(module).__name__ in BLOCKS]
        assert blocks
    names = {type(module).__name__ for module in make_diffusion(network=UNET).module.modules()}
    assert {"DiffusionUNetResnetBlock", "SpatialAttentionBlock"} <= names


def test_dropout_is_drawn_again_as_it_was(make_diffusion: Callable[..., DiffusionTask]) -> None:
    dropping = UNET | {"dropout": 0.5}
    plain, again = (
        [
            record.loss
            for record in train(make_diffusion(network=dropping), spec(checkpoint_activations=on), seed=0, device=CPU)
        ]
        for on in (False, True)
    )
    assert again == plain


def test_a_compiler_that_fails_is_done_without(
    make_diffusion: Callable[..., DiffusionTask], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(call: Callable[..., object]) -> Callable[..., object]:
        def fail(*inputs: object) -> object:
            raise RuntimeError("no compiler here\nand a long trace")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    reference = [record.loss for record in train(make_diffusion(), spec(), seed=0, device=CPU)]
    with caplog.at_level(logging.WARNING):
        found = [record.loss for record in train(make_diffusion(), spec(compile=True), seed=0, device=CPU)]
    assert found == reference
    assert [record.message for record in caplog.records] == [
        "cannot compile, going on without: RuntimeError: no compiler here"
    ]


def test_the_compiled_module_is_the_one_that_runs(
    make_diffusion: Callable[..., DiffusionTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counting(call: Callable[..., object]) -> Callable[..., object]:
        return lambda *inputs: calls.append(1) or call(*inputs)

    monkeypatch.setattr(torch, "compile", counting)
    assert len(list(train(make_diffusion(), spec(compile=True), seed=0, device=CPU))) == 4
    assert len(calls) == 4
