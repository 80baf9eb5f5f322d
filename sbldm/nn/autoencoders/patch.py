"""An autoencoder that starts as the best linear patch code and learns the residual."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from sbldm.errors import ConfigError
from sbldm.nn.autoencoders.base import AUTOENCODERS, Autoencoder, AutoencoderSpec, Posterior
from sbldm.nn.autoencoders.inputs import class_weights
from sbldm.nn.autoencoders.pca import LinearCode, linear_code, patches
from sbldm.nn.blocks import ResidualBlock, normalise, zeroed

LOG_VARIANCE_RANGE = -20.0, 10.0
SMALLEST_SPREAD = 1e-4


@AUTOENCODERS.register
class Patch(AutoencoderSpec):
    """Describe a small residual autoencoder on patches beside a linear skip set by PCA of training patches."""

    kind: Literal["patch"] = "patch"
    blocks: int = Field(1, ge=1)
    """Residual blocks per resolution."""
    pca_label_weight: float = Field(1.0, gt=0)
    """How much an error in a label channel counts against one in the image when the linear code is fitted."""
    posterior_std: float = Field(0.05, gt=0)
    """Standard deviation of the first posterior, relative to each code channel's spread."""

    @model_validator(mode="after")
    def _stem_is_whole(self) -> "Patch":
        if len(self.hidden_dims) - 1 > self.halvings:
            raise ValueError(
                f"hidden_dims must have at most {self.halvings + 1} entries at downsample {self.downsample}"
                f" (each after the first halves the size), but got {list(self.hidden_dims)}"
            )
        return self

    def build(self, channels: int, classes: int, size: int) -> "PatchAutoencoder":
        """Return the autoencoder; call ``initialise`` on training inputs to set its linear code."""
        self.check_size(size)
        elements = (channels + classes - 1) * self.downsample**2
        if self.latent_channels > elements:
            raise ConfigError(
                f"latent_channels must not exceed the {elements} elements of a patch, but got {self.latent_channels}"
            )
        return PatchAutoencoder(self, channels, classes)


class PatchAutoencoder(Autoencoder):
    """The linear code plus residual branches whose heads start at zero."""

    spread: Tensor

    def __init__(self, spec: Patch, channels: int, classes: int) -> None:
        super().__init__()
        self.spec, self.channels, self.classes = spec, channels, classes
        elements = (channels + classes - 1) * spec.downsample**2
        self.linear_encode = nn.Conv2d(elements, spec.latent_channels, 1)
        self.linear_decode = nn.Conv2d(spec.latent_channels, elements, 1)
        self.encoder = _encoder(spec, channels + classes - 1)
        self.decoder = _decoder(spec, channels + classes - 1)
        self.register_buffer("spread", torch.ones(spec.latent_channels))

    def encode(self, x: Float[Tensor, "b c height width"]) -> Posterior:
        """Return the linear code plus a learned residual, and the learned spread around them."""
        code = self.linear_encode(functional.pixel_unshuffle(x, self.spec.downsample))
        residual, log_variance = self.encoder(x).chunk(2, dim=1)
        spread = self.spread[:, None, None]
        log_variance = log_variance + 2 * (math.log(self.spec.posterior_std) + spread.log())
        return Posterior(code + spread * residual, log_variance.clamp(*LOG_VARIANCE_RANGE))

    def decode(self, z: Float[Tensor, "b z h w"]) -> Float[Tensor, "b c height width"]:
        """Return the linear code's patches plus a learned residual."""
        linear = functional.pixel_shuffle(self.linear_decode(z), self.spec.downsample)
        residual: Tensor = self.decoder(z / self.spread[:, None, None])
        return linear + residual

    def initialise(self, x: Float[Tensor, "n c height width"]) -> None:
        """Set the linear skip to the principal components of these inputs' patches."""
        per_channel = torch.ones(self.channels + self.classes - 1, dtype=torch.float64)
        balanced = class_weights(x[:, self.channels :], self.spec.label_balance)
        per_channel[self.channels :] = self.spec.pca_label_weight * balanced
        weights = per_channel.repeat_interleave(self.spec.downsample**2)
        self._set(linear_code(patches(x, self.spec.downsample), self.spec.latent_channels, weights))

    @torch.no_grad()
    def _set(self, code: LinearCode) -> None:
        self.linear_encode.weight.copy_(code.encode[:, :, None, None])
        assert self.linear_encode.bias is not None
        self.linear_encode.bias.copy_(-code.encode @ code.mean)
        self.linear_decode.weight.copy_(code.decode[:, :, None, None])
        assert self.linear_decode.bias is not None
        self.linear_decode.bias.copy_(code.mean)
        self.spread.copy_(code.spread.clamp(min=SMALLEST_SPREAD))


def _encoder(spec: Patch, channels: int) -> nn.Sequential:
    stem = spec.downsample >> (len(spec.hidden_dims) - 1)
    width = spec.hidden_dims[0]
    layers: list[nn.Module] = [nn.PixelUnshuffle(stem), nn.Conv2d(channels * stem**2, width, 3, padding=1)]
    for level, wider in enumerate(spec.hidden_dims):
        if level:
            layers.append(nn.Conv2d(width, wider, 3, stride=2, padding=1))
        layers += [ResidualBlock(wider, wider) for _ in range(spec.blocks)]
        width = wider
    head = zeroed(nn.Conv2d(width, 2 * spec.latent_channels, 3, padding=1))
    return nn.Sequential(*layers, normalise(width), nn.SiLU(), head)


def _decoder(spec: Patch, channels: int) -> nn.Sequential:
    stem = spec.downsample >> (len(spec.hidden_dims) - 1)
    width = spec.hidden_dims[-1]
    layers: list[nn.Module] = [nn.Conv2d(spec.latent_channels, width, 3, padding=1)]
    layers += [ResidualBlock(width, width) for _ in range(spec.blocks)]
    for narrower in spec.hidden_dims[-2::-1]:
        layers += [nn.Conv2d(width, 4 * narrower, 1), nn.PixelShuffle(2)]
        layers += [ResidualBlock(narrower, narrower) for _ in range(spec.blocks)]
        width = narrower
    head = zeroed(nn.Conv2d(width, channels * stem**2, 3, padding=1))
    return nn.Sequential(*layers, normalise(width), nn.SiLU(), head, nn.PixelShuffle(stem))
