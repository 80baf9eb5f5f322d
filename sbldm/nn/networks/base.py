"""The family of networks that predict from a noisy latent, its level and a few cues."""

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, SerializeAsAny
from torch import nn

from sbldm.errors import ConfigError
from sbldm.spec import Registry, Spec


class NetworkSpec(Spec):
    """Describe a network called as ``network(noisy, t, cues)`` that returns a tensor like ``noisy``."""

    kind: str
    conditioned_form: ClassVar[int] = 1
    """Raised when networks of these settings that are told conditions get other weights than before."""

    @abstractmethod
    def build(self, latent_channels: int, cues: int) -> nn.Module:
        """Return the network for latents of so many channels and so many cues per sample."""

    @property
    @abstractmethod
    def grid(self) -> int:
        """Return the number that must divide the latent's height and width."""

    def check_latent(self, size: int) -> None:
        """Refuse a latent size that the network cannot halve often enough."""
        if size % self.grid:
            raise ConfigError(
                f"latent size (image size / downsample) must be a multiple of {self.grid} for this {self.kind} network,"
                f" but got {size}; change size, downsample or the number of resolutions"
            )


NETWORKS = Registry("network", NetworkSpec)  # type: ignore[type-abstract]  # only its rivals are built
AnyNetwork = Annotated[SerializeAsAny[NetworkSpec], BeforeValidator(NETWORKS.parse)]
