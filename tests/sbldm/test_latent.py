from collections.abc import Callable

import pytest
import torch

from sbldm.data.slices import SliceSet
from sbldm.latent import LatentCodec, encode_latents, measure_codec
from sbldm.model import ModelSpec
from sbldm.nn.autoencoders import pack


def codec_of(spec: ModelSpec, disks: SliceSet) -> LatentCodec:
    autoencoder = spec.build_autoencoder(0)
    autoencoder.initialise(pack(disks.images, disks.labels, disks.classes))
    return measure_codec(autoencoder, disks, spec.autoencoder.scaling)


def test_training_latents_have_mean_zero_and_unit_spread(
    disks: SliceSet, make_spec: Callable[..., ModelSpec], scaling: str, kind: str
) -> None:
    codec = codec_of(make_spec(autoencoder={"kind": kind, "scaling": scaling}), disks)
    latents = encode_latents(codec, disks)
    assert float(latents.square().mean().sqrt()) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-4)


@pytest.fixture(params=["scalar", "channel", "half"])
def scaling(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["patch", "strided"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_scaling_keeps_none_half_or_all_of_the_spectrum(disks: SliceSet, make_spec: Callable[..., ModelSpec]) -> None:
    def log_spread(scaling: str) -> torch.Tensor:
        latents = encode_latents(codec_of(make_spec(autoencoder={"kind": "patch", "scaling": scaling}), disks), disks)
        spread = latents.std(dim=(0, 2, 3), correction=0).log()
        return spread - spread[0]

    kept = log_spread("scalar")
    assert kept[-1] < -0.5
    torch.testing.assert_close(log_spread("channel"), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(log_spread("half"), 0.5 * kept, rtol=0, atol=1e-4)


def test_decoding_inverts_encoding_where_the_code_is_wide_enough(
    disks: SliceSet, make_spec: Callable[..., ModelSpec]
) -> None:
    codec = codec_of(make_spec(autoencoder={"kind": "patch", "latent_channels": 32}), disks)
    decoded = codec.decode(codec.encode(disks.images, disks.labels))
    torch.testing.assert_close(decoded.images, disks.images, rtol=0, atol=1e-4)
    assert torch.equal(decoded.labels, disks.labels)


def test_decoded_images_stay_in_range_whatever_the_latent(codec: LatentCodec) -> None:
    latents = 100 * torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    decoded = codec.decode(latents)
    assert decoded.images.abs().max() == 1
    assert set(decoded.labels.unique().tolist()) <= {0, 1}


def test_latents_do_not_depend_on_the_batch(codec: LatentCodec, disks: SliceSet) -> None:
    latents = encode_latents(codec, disks)
    assert latents.shape == (24, 3, 4, 4)
    alone = encode_latents(codec, disks.select(slice(7, 8)))
    torch.testing.assert_close(latents[7:8], alone, rtol=1e-4, atol=1e-5)


def test_slices_without_labels_have_a_codec_too(disks: SliceSet, make_spec: Callable[..., ModelSpec]) -> None:
    plain = SliceSet(disks.images, torch.zeros_like(disks.labels), disks.subjects, disks.positions, ())
    codec = codec_of(make_spec(label_names=()), plain)
    decoded = codec.decode(encode_latents(codec, plain))
    assert decoded.labels.sum() == 0
    assert (decoded.images - plain.images).square().mean() < 0.05


def test_the_codec_is_frozen_and_keeps_its_statistics_in_its_state(codec: LatentCodec) -> None:
    assert {"mean", "scale"} < codec.state_dict().keys()
    assert not any(weight.requires_grad for weight in codec.parameters())
    assert not codec.training
