"""Slices to latents of unit size and back: the autoencoder with the latent statistics it was measured to have."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sbldm.data.slices import SliceSet
from sbldm.nn.autoencoders import Autoencoder, Scaling, pack, unpack

ENCODING_BATCH = 64
SMALLEST_STD = 1e-6


@dataclass(frozen=True, eq=False)
class Decoded:
    """What latents stand for: images in [-1, 1] and label maps (0 background, 1.. classes)."""

    images: Float[Tensor, "b i h w"]
    labels: UInt8[Tensor, "b h w"]


class LatentCodec(nn.Module):
    """Encode slices to latents with overall standard deviation 1, and decode them."""

    mean: Tensor
    scale: Tensor

    def __init__(self, autoencoder: Autoencoder, classes: int, channels: int) -> None:
        super().__init__()
        self.autoencoder, self.classes = autoencoder, classes
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))

    @torch.no_grad()
    def encode(
        self, images: Float[Tensor, "b i height width"], labels: UInt8[Tensor, "b height width"]
    ) -> Float[Tensor, "b z h w"]:
        """Return the normalised posterior means."""
        raw = self.autoencoder.encode(pack(images, labels, self.classes)).mean
        return (raw - self.mean[:, None, None]) / self.scale[:, None, None]

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "b z h w"]) -> Decoded:
        """Return the images and label maps that normalised latents stand for."""
        raw = latents * self.scale[:, None, None] + self.mean[:, None, None]
        return Decoded(*unpack(self.autoencoder.decode(raw), self.classes))


def measure_codec(autoencoder: Autoencoder, train: SliceSet, scaling: Scaling) -> LatentCodec:
    """Return the codec whose latents over these training slices have mean 0 and overall standard deviation 1.

    Args:
        autoencoder: already trained; put into evaluation mode.
        train: training slices, no others.
        scaling: channel: each channel to 1; scalar: one factor, so that the spectrum stays; half: between the two.
    """
    channels = autoencoder.encode(_first_inputs(autoencoder, train)).mean.shape[1]
    codec = LatentCodec(autoencoder, train.classes, channels).eval().requires_grad_(False)
    codec.to(next(autoencoder.parameters()).device)
    latents = encode_latents(codec, train).double()
    std = latents.std(dim=(0, 2, 3), correction=0).clamp(min=SMALLEST_STD)
    scale = {"channel": std, "scalar": torch.ones_like(std), "half": std.sqrt()}[scaling]
    codec.mean.copy_(latents.mean(dim=(0, 2, 3)))
    codec.scale.copy_(scale * (std / scale).square().mean().sqrt())
    return codec


def encode_latents(codec: LatentCodec, slices: SliceSet) -> Float[Tensor, "n z h w"]:
    """Return the latents of all slices, on the CPU; worth keeping, since they never change."""
    device = codec.mean.device
    rows = torch.split(torch.arange(len(slices)), ENCODING_BATCH)
    return torch.cat(
        [codec.encode(slices.images[some].to(device), slices.labels[some].to(device)).cpu() for some in rows]
    )


@torch.no_grad()
def _first_inputs(autoencoder: Autoencoder, slices: SliceSet) -> Float[Tensor, "1 c h w"]:
    device = next(autoencoder.parameters()).device
    return pack(slices.images[:1].to(device), slices.labels[:1].to(device), slices.classes)
