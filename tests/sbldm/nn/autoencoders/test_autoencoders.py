"""What every autoencoder promises; a rival joins by registering."""

import pytest
import torch

from sbldm.data.slices import SliceSet
from sbldm.errors import ConfigError
from sbldm.nn import AUTOENCODERS, Autoencoder, AutoencoderSpec, borrowed_generator
from sbldm.nn.autoencoders import autoencoder_loss, pack

SMALL = {
    "patch": {"hidden_dims": (8, 8)},
    "strided": {"hidden_dims": (8, 8, 8, 8)},
}


def spec_of(kind: str, **changes: object) -> AutoencoderSpec:
    return AUTOENCODERS.parse({"kind": kind, **SMALL.get(kind, {}), **changes})


def build(spec: AutoencoderSpec, disks: SliceSet) -> Autoencoder:
    with borrowed_generator(0, "test"):
        autoencoder = spec.build(1, disks.classes, disks.images.shape[-1])
    autoencoder.initialise(inputs(disks))
    return autoencoder


def inputs(disks: SliceSet) -> torch.Tensor:
    return pack(disks.images, disks.labels, disks.classes)


@pytest.fixture(params=AUTOENCODERS.kinds())
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("downsample, side", [(2, 8), (4, 4), (8, 2)])
def test_a_latent_is_smaller_by_downsample_and_decodes_to_the_input_shape(
    kind: str, disks: SliceSet, downsample: int, side: int
) -> None:
    autoencoder = build(spec_of(kind, downsample=downsample, latent_channels=3), disks)
    posterior = autoencoder.encode(inputs(disks)[:2])
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 3, side, side)
    assert autoencoder.decode(posterior.mean).shape == (2, 2, 16, 16)


def test_settings_survive_json(kind: str) -> None:
    spec = spec_of(kind)
    assert AUTOENCODERS.parse(spec.model_dump(mode="json")) == spec


def test_one_slice_is_coded_as_it_is_in_a_batch(kind: str, disks: SliceSet) -> None:
    autoencoder = build(spec_of(kind), disks).eval()
    x = inputs(disks)
    torch.testing.assert_close(autoencoder.encode(x).mean[3:4], autoencoder.encode(x[3:4]).mean, rtol=1e-4, atol=1e-5)


def test_a_few_steps_of_descent_lower_the_loss(kind: str, disks: SliceSet) -> None:
    spec = spec_of(kind)
    autoencoder = build(spec, disks)
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=2e-3)
    x = inputs(disks)
    losses = []
    for step in range(12):
        posterior = autoencoder.encode(x)
        decoded = autoencoder.decode(posterior.mean)
        loss = autoencoder_loss(decoded, x, posterior, classes=disks.classes, spec=spec, step=step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_every_weight_takes_part(kind: str, disks: SliceSet) -> None:
    autoencoder = build(spec_of(kind), disks)
    draws = torch.Generator().manual_seed(0)
    for weight in autoencoder.parameters():  # heads that start at zero would hide what lies before them
        weight.data += 0.05 * torch.randn(weight.shape, generator=draws)
    posterior = autoencoder.encode(inputs(disks)[:2])
    latent = posterior.sample(torch.ones_like(posterior.mean))
    autoencoder.decode(latent).square().sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, w in autoencoder.named_parameters() if w.grad is None or not w.grad.abs().sum() > 0] == []


def test_a_size_the_latent_grid_does_not_divide_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match="multiple of downsample 4, but got 30"):
        spec_of(kind).build(1, 2, 30)


@pytest.mark.parametrize("downsample", [3, 6, 12])
def test_downsampling_by_no_power_of_two_is_refused(kind: str, downsample: int) -> None:
    with pytest.raises(ValueError, match=f"power of 2, but got {downsample}"):
        spec_of(kind, downsample=downsample)
