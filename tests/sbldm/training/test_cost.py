"""What is foretold is held against hand counts, against a real step, and against what memory there is."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sbldm.errors import ResourceError
from sbldm.model import ModelSpec
from sbldm.training import TrainingSpec, cost
from sbldm.training.calls import CallPath
from sbldm.training.cost import GIB, StageCost, autoencoder_cost, check_fits, device_bytes, network_cost
from sbldm.training.distributed import World
from sbldm.training.rehearsal import LiveMemory, rehearse

CPU = torch.device("cpu")
MakeSpec = Callable[..., ModelSpec]


def spec(**changes: object) -> TrainingSpec:
    return TrainingSpec.model_validate({"steps": 10, "batch": 8, **changes})


def linear(module: nn.Module) -> torch.Tensor:
    loss: torch.Tensor = module(torch.empty(8, 3)).sum()
    return loss


def test_one_layer_costs_what_it_costs_by_hand() -> None:
    found = rehearse(
        lambda: nn.Sequential(nn.Linear(3, 5, bias=False)), linear, training=spec(), device=torch.device("cpu")
    )
    assert found.parameters == {"0": 15}
    assert found.weight_bytes == 4 * 15
    assert found.forward_flops == 2 * 8 * 3 * 5
    # alive at once: input 8 x 3, output 8 x 5, loss, its gradient (expanded, no memory of its own), 15 gradients
    assert 4 * (24 + 15) <= found.peak_bytes <= 4 * (24 + 40 + 1 + 1 + 40 + 2 * 15)


def test_a_step_is_three_forward_passes(make_spec: MakeSpec) -> None:
    model = make_spec(network={"kind": "plain", "model_channels": 16, "blocks": 3})
    network = model.build_network(0)
    with FlopCounterMode(display=False) as counter:
        network(
            torch.randn(8, *model.latent_shape), torch.ones(8, dtype=torch.long), torch.zeros(8, 2)
        ).sum().backward()
    found = network_cost(model, spec(), CPU)
    assert found.step_flops == pytest.approx(counter.get_total_flops(), rel=0.1)  # the first layer needs no way back


def test_parameters_are_those_of_the_real_modules(make_spec: MakeSpec) -> None:
    model = make_spec()
    for found, module in (
        (autoencoder_cost(model, spec(), CPU), model.build_autoencoder(0)),
        (network_cost(model, spec(), CPU), model.build_network(0)),
    ):
        weights = sum(weight.numel() for weight in module.parameters())
        assert sum(found.parameters.values()) == weights
        assert found.weight_bytes == 4 * weights
        assert found.memory_bytes == 20 * weights + found.activation_bytes


@pytest.mark.parametrize("changes", [{}, {"accumulate": 4}, {"checkpoint_activations": True}])
def test_the_rehearsal_holds_as_much_as_the_real_step(make_spec: MakeSpec, changes: dict[str, object]) -> None:
    model, training = make_spec(size=32), spec(batch=16, **changes)
    network = model.build_network(0)
    with LiveMemory() as real, CallPath(network, training, World()).active():
        noisy = torch.randn(16, *model.latent_shape)
        predicted = network(noisy, torch.ones(16, dtype=torch.long), torch.zeros(16, 2))
        (predicted.float() - noisy).square().mean().backward()
    found = network_cost(model, training, CPU)
    assert found.weight_bytes + found.activation_bytes == pytest.approx(real.peak, rel=0.1)


def test_parts_checkpoints_and_half_precision_take_less(make_spec: MakeSpec) -> None:
    model = make_spec(size=64, network={"kind": "plain", "model_channels": 16, "blocks": 6})

    def bytes_of(**changes: object) -> int:
        return network_cost(model, spec(**changes), CPU).activation_bytes

    whole = bytes_of()
    assert bytes_of(batch=16) == pytest.approx(2 * whole, rel=0.1)
    assert bytes_of(accumulate=4) < 0.5 * whole
    assert bytes_of(checkpoint_activations=True) < 0.6 * whole
    assert bytes_of(precision="bfloat16") < 0.8 * whole


def test_the_rehearsal_allocates_nothing(make_spec: MakeSpec) -> None:
    huge = spec(batch=10**7)
    assert network_cost(make_spec(), huge, CPU).activation_bytes > 20 * GIB


def stage(activations: int, weights: int = GIB // 5) -> StageCost:
    return StageCost("diffusion", "training", {"unet": 1}, 1, weights, activations, batch=16, steps=1)


@pytest.mark.parametrize(
    "each, advice",
    [
        (stage(8 * GIB), r"needs about 9 GiB at training\.batch 16, but cpu has 4 GiB; lower training\.batch to 6 or"),
        (stage(64 * GIB), r"set training\.checkpoint_activations or lower prepare\.size or network\.model_channels"),
        (stage(GIB, weights=GIB), r"; lower network\.model_channels$"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_setting_to_lower(each: StageCost, advice: str) -> None:
    with pytest.raises(ResourceError, match=advice):
        check_fits([each], 4 * GIB, CPU)


def test_what_fits_exactly_is_let_through() -> None:
    each = stage(3 * GIB)
    check_fits([each], each.memory_bytes, CPU)
    with pytest.raises(ResourceError):
        check_fits([each], each.memory_bytes - 1, CPU)


@pytest.mark.parametrize("limit, counts", [("1048576", True), ("max", False)])
def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, counts: bool) -> None:
    monkeypatch.setattr(cost, "CGROUP_LIMIT", tmp_path / "memory.max")
    installed = device_bytes(CPU)
    (tmp_path / "memory.max").write_text(limit)
    assert device_bytes(CPU) == (2**20 if counts else installed)
