"""Small slices and settings that the tests of several parts share."""

from collections.abc import Callable

import pytest
import torch

from sbldm.data.slices import SliceSet
from sbldm.latent import LatentCodec, measure_codec
from sbldm.model import LatentDiffusion, ModelSpec
from sbldm.nn.autoencoders import pack

SIZE = 16
torch.set_num_threads(1)  # on tensors this small, waiting threads only cost


def draw_disks(count: int, seed: int = 0, size: int = SIZE) -> SliceSet:
    """Return noisy disks of random size and place, each with a labelled core."""
    draws = torch.Generator().manual_seed(seed)
    grid = torch.linspace(-1, 1, size)
    place = torch.rand(count, 2, 1, generator=draws) * 0.4 - 0.2
    distance = ((grid - place[:, 0])[:, :, None] ** 2 + (grid - place[:, 1])[:, None, :] ** 2).sqrt()
    radius = torch.rand(count, 1, 1, generator=draws) * 0.4 + 0.4
    images = 1.4 * torch.sigmoid(8 * (radius - distance)) - 0.9 + 0.02 * torch.randn(distance.shape, generator=draws)
    return SliceSet(
        images=images.clamp(-1, 1)[:, None],
        labels=(distance < radius / 2).to(torch.uint8),
        subjects=torch.arange(count) // 4,
        positions=torch.linspace(-1, 1, count),
        label_names=("core",),
    )


@pytest.fixture(scope="session")
def disks() -> SliceSet:
    return draw_disks(24)


@pytest.fixture
def make_spec() -> Callable[..., ModelSpec]:
    def make(**changes: object) -> ModelSpec:
        settings = {
            "size": SIZE,
            "label_names": ("core",),
            "autoencoder": {"kind": "patch", "hidden_dims": (8, 8), "latent_channels": 3},
            "network": {"kind": "plain", "model_channels": 8, "blocks": 1},
            "schedule": {"kind": "cosine", "timesteps": 50},
            "prediction": "v",
        }
        return ModelSpec.model_validate({**settings, **changes})

    return make


@pytest.fixture
def codec(disks: SliceSet, make_spec: Callable[..., ModelSpec]) -> LatentCodec:
    spec = make_spec()
    autoencoder = spec.build_autoencoder(0)
    autoencoder.initialise(pack(disks.images, disks.labels, disks.classes))
    return measure_codec(autoencoder, disks, spec.autoencoder.scaling)


@pytest.fixture
def model(disks: SliceSet, codec: LatentCodec, make_spec: Callable[..., ModelSpec]) -> LatentDiffusion:
    spec = make_spec()
    network = spec.build_network(0)
    draws = torch.Generator().manual_seed(1)
    for weight in network.parameters():  # an untrained network predicts 0 and would hide its inputs
        weight.data += 0.1 * torch.randn(weight.shape, generator=draws)
    return LatentDiffusion(spec, codec, network.requires_grad_(False), disks.positions)
