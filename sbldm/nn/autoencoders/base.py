"""The family of autoencoders: images and label channels in, a small latent map out and back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from torch import Tensor, nn

from sbldm.errors import ConfigError
from sbldm.spec import Registry, Spec

Scaling = Literal["scalar", "channel", "half"]
LabelLoss = Literal["mse", "cross-entropy"]


@dataclass(frozen=True, eq=False)
class Posterior:
    """What the encoder knows of a latent: a normal distribution per element."""

    mean: Float[Tensor, "b z h w"]
    log_variance: Float[Tensor, "b z h w"]

    def sample(self, noise: Float[Tensor, "b z h w"]) -> Float[Tensor, "b z h w"]:
        """Return the draw that this standard normal noise makes."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self) -> Float[Tensor, ""]:
        """Return the mean Kullback-Leibler divergence per element from the standard normal."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance).mean()


class Autoencoder(nn.Module, ABC):
    """A pair of maps between inputs (see ``inputs.pack``) and latents."""

    @abstractmethod
    def encode(self, x: Float[Tensor, "b c height width"]) -> Posterior:
        """Return the distribution of the latent of each input."""

    @abstractmethod
    def decode(self, z: Float[Tensor, "b z h w"]) -> Float[Tensor, "b c height width"]:
        """Return the inputs that these latents stand for; not clamped."""

    def initialise(self, x: Float[Tensor, "n c height width"]) -> None:
        """Set first weights from training inputs, where the rival has a closed form."""


class AutoencoderSpec(Spec):
    """Describe an autoencoder, its loss, and how its latents are scaled for diffusion."""

    kind: str
    latent_channels: int = Field(4, ge=1)
    downsample: int = Field(4, ge=1)
    """Pixels per latent element along each axis; a power of 2."""
    hidden_dims: tuple[int, ...] = (32, 64)
    scaling: Scaling = "half"
    """channel: each channel to standard deviation 1; scalar: one factor for all; half: by std ** 0.5 first."""
    kl_weight: float = Field(1e-5, ge=0)
    kl_warmup_steps: int = Field(0, ge=0)
    """Steps over which ``kl_weight`` rises from 0."""
    label_weight: float = Field(1.0, ge=0)
    """Weight of the label channels' loss beside the image's."""
    label_loss: LabelLoss = "mse"
    label_balance: float = Field(0.0, ge=0, le=1)
    """How much more a rare class counts than a common one: in proportion to variance ** -label_balance."""

    @abstractmethod
    def build(self, channels: int, classes: int, size: int) -> Autoencoder:
        """Return the autoencoder for image channels, classes (background included) and image size."""

    @model_validator(mode="after")
    def _parts_agree(self) -> "AutoencoderSpec":
        if self.downsample & (self.downsample - 1):
            raise ValueError(f"downsample must be a power of 2, but got {self.downsample}")
        if not self.hidden_dims or min(self.hidden_dims) < 4:
            raise ValueError(f"hidden_dims must hold widths of at least 4, but got {list(self.hidden_dims)}")
        return self

    @property
    def halvings(self) -> int:
        """Return how often the size is halved on the way to the latent."""
        return self.downsample.bit_length() - 1

    def check_size(self, size: int) -> None:
        """Refuse an image size that the latent grid does not divide."""
        if size % self.downsample:
            raise ConfigError(f"image size must be a multiple of downsample {self.downsample}, but got {size}")


AUTOENCODERS = Registry("autoencoder", AutoencoderSpec)  # type: ignore[type-abstract]  # only its rivals are built
AnyAutoencoder = Annotated[SerializeAsAny[AutoencoderSpec], BeforeValidator(AUTOENCODERS.parse)]
