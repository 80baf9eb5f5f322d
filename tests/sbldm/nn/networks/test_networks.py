"""What every network promises; a rival joins by registering."""

import pytest
import torch
from torch import nn

from sbldm.diffusion import NoisePredictor
from sbldm.errors import ConfigError
from sbldm.nn import NETWORKS, NetworkSpec, borrowed_generator

SMALL = {"unet": {"model_channels": 8, "num_res_blocks": 1, "norm_groups": 4, "head_channels": 8}}
SLOW = {"unet"}  # importing MONAI takes ten seconds


@pytest.fixture(params=[pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in NETWORKS.kinds()])
def spec(request: pytest.FixtureRequest) -> NetworkSpec:
    return NETWORKS.parse({"kind": request.param, **SMALL.get(request.param, {})})


@pytest.fixture
def network(spec: NetworkSpec) -> nn.Module:
    with borrowed_generator(0, "test"):
        return spec.build(3, 2).eval()


@pytest.fixture
def shaken(network: nn.Module) -> nn.Module:
    draws = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=draws)
    return network


NOISY = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
LEVELS = torch.tensor([1, 1000])
CUES = torch.tensor([[0.1, 0.0], [-0.9, 1.0]])


def test_an_untrained_network_predicts_zero(network: nn.Module) -> None:
    assert isinstance(network, NoisePredictor)
    assert torch.equal(network(NOISY, LEVELS, CUES), torch.zeros_like(NOISY))


@torch.no_grad()
def test_the_prediction_depends_on_latent_level_and_each_cue(shaken: nn.Module) -> None:
    reference = shaken(NOISY, LEVELS, CUES)
    for other in (
        shaken(NOISY + 1, LEVELS, CUES),
        shaken(NOISY, LEVELS // 2 + 2, CUES),
        shaken(NOISY, LEVELS, CUES + torch.tensor([1.0, 0.0])),
        shaken(NOISY, LEVELS, CUES + torch.tensor([0.0, 1.0])),
    ):
        assert (other - reference).abs().max() > 1e-3


@torch.no_grad()
def test_one_sample_is_predicted_as_it_is_in_a_batch(shaken: nn.Module) -> None:
    alone = shaken(NOISY[1:], LEVELS[1:], CUES[1:])
    torch.testing.assert_close(shaken(NOISY, LEVELS, CUES)[1:], alone, rtol=1e-4, atol=1e-4)


def test_every_weight_takes_part(shaken: nn.Module) -> None:
    shaken(NOISY, LEVELS, CUES).square().sum().backward()
    assert [name for name, w in shaken.named_parameters() if w.grad is None or not w.grad.abs().sum() > 0] == []


def test_the_first_weights_depend_on_the_seed_alone(spec: NetworkSpec) -> None:
    def weights(seed: int) -> torch.Tensor:
        with borrowed_generator(seed, "test"):
            return torch.cat([w.detach().flatten() for w in spec.build(3, 2).parameters()])

    before = torch.get_rng_state()
    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_survive_json(spec: NetworkSpec) -> None:
    assert NETWORKS.parse(spec.model_dump(mode="json")) == spec


def test_a_latent_that_fits_the_grid_is_accepted_and_another_refused(spec: NetworkSpec) -> None:
    spec.check_latent(4 * spec.grid)
    if spec.grid > 1:
        with pytest.raises(ConfigError, match=f"multiple of {spec.grid} .* but got {4 * spec.grid + 1}"):
            spec.check_latent(4 * spec.grid + 1)
