"""The classic convolutional autoencoder: strided convolutions down, repeated values up."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from sbldm.nn.autoencoders.base import AUTOENCODERS, Autoencoder, AutoencoderSpec, Posterior
from sbldm.nn.blocks import ResidualBlock, normalise

LOG_VARIANCE_RANGE = -20.0, 10.0


@AUTOENCODERS.register
class Strided(AutoencoderSpec):
    """Describe the classic autoencoder; the first stage keeps the size, the next ``log2(downsample)`` halve it."""

    kind: Literal["strided"] = "strided"
    hidden_dims: tuple[int, ...] = (32, 64, 128, 256)
    blocks: int = Field(1, ge=1)
    """Residual blocks per stage."""

    @model_validator(mode="after")
    def _stages_suffice(self) -> "Strided":
        if len(self.hidden_dims) < self.halvings + 1:
            raise ValueError(
                f"downsample {self.downsample} needs hidden_dims of at least {self.halvings + 1} stages"
                f" (one at full size, {self.halvings} that halve it), but got {list(self.hidden_dims)}"
            )
        return self

    @property
    def strides(self) -> tuple[int, ...]:
        """Return the stride of each stage."""
        return tuple(2 if 1 <= stage <= self.halvings else 1 for stage in range(len(self.hidden_dims)))

    def build(self, channels: int, classes: int, size: int) -> "StridedAutoencoder":
        """Return the autoencoder with random weights."""
        self.check_size(size)
        return StridedAutoencoder(self, channels + classes - 1)


class StridedAutoencoder(Autoencoder):
    """A stack of stages down and its mirror image up."""

    def __init__(self, spec: Strided, channels: int) -> None:
        super().__init__()
        self.encoder = _encoder(spec, channels)
        self.decoder = _decoder(spec, channels)

    def encode(self, x: Float[Tensor, "b c height width"]) -> Posterior:
        """Return the distribution of the latent of each input."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(*LOG_VARIANCE_RANGE))

    def decode(self, z: Float[Tensor, "b z h w"]) -> Float[Tensor, "b c height width"]:
        """Return the inputs that these latents stand for."""
        decoded: Tensor = self.decoder(z)
        return decoded


def _encoder(spec: Strided, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = channels
    for wider, stride in zip(spec.hidden_dims, spec.strides, strict=True):
        layers.append(nn.Conv2d(width, wider, 3, stride=stride, padding=1))
        layers += [ResidualBlock(wider, wider) for _ in range(spec.blocks)]
        width = wider
    head = nn.Conv2d(width, 2 * spec.latent_channels, 3, padding=1)
    return nn.Sequential(*layers, normalise(width), nn.SiLU(), head)


def _decoder(spec: Strided, channels: int) -> nn.Sequential:
    width = spec.hidden_dims[-1]
    layers: list[nn.Module] = [nn.Conv2d(spec.latent_channels, width, 3, padding=1)]
    for narrower, stride in zip(spec.hidden_dims[::-1], spec.strides[::-1], strict=True):
        layers += [nn.Conv2d(width, narrower, 3, padding=1)] if width != narrower else []
        layers += [ResidualBlock(narrower, narrower) for _ in range(spec.blocks)]
        layers += [nn.Upsample(scale_factor=2, mode="nearest")] if stride == 2 else []
        width = narrower
    return nn.Sequential(*layers, normalise(width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))
