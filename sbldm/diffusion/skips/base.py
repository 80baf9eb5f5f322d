"""The family of skips: a part of the prediction that a closed form makes, so that the network adds the rest."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor, nn

from sbldm.diffusion.process import NoisePredictor, Prediction
from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.errors import ConfigError
from sbldm.spec import Registry, Spec

BuildNetwork = Callable[[int], nn.Module]
"""Makes a network that takes and returns so many channels."""


class SkipSpec(Spec):
    """Describe what stands beside the network; all that is fitted becomes buffers of the module."""

    has_closed_form: ClassVar[bool] = False
    kind: str

    @abstractmethod
    def channels(self, latent_channels: int) -> int:
        """Return how many channels the network takes and returns."""

    @abstractmethod
    def wrap(
        self, build: BuildNetwork, latent_shape: tuple[int, int, int], schedule: Schedule, prediction: Prediction
    ) -> nn.Module:
        """Return the module that predicts, called as a network is."""

    @abstractmethod
    def fit(self, module: nn.Module, latents: Float[Tensor, "n z h w"], positions: Float[Tensor, " n"]) -> None:
        """Set the closed form of a module of ``wrap`` from normalized training latents."""

    def closed_form(self, module: nn.Module) -> NoisePredictor:
        """Return what a module of ``wrap`` would predict without its network, where ``has_closed_form``."""
        raise NotImplementedError

    def check_autoguidance(self, scale: float) -> None:
        """Refuse to be led away from what there is not."""
        if scale and not self.has_closed_form:
            raise ConfigError(
                f"sampler.autoguidance leads away from a closed form, which skip {self.kind!r} lacks, and so must be 0,"
                f" but got {scale:g}; set it to 0, or skip.kind to 'gaussian'"
            )


SKIPS = Registry("skip", SkipSpec)  # type: ignore[type-abstract]  # only its rivals are built
AnySkip = Annotated[SerializeAsAny[SkipSpec], BeforeValidator(SKIPS.parse)]
