"""The network alone."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from sbldm.diffusion.process import Prediction
from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.diffusion.skips.base import SKIPS, BuildNetwork, SkipSpec


@SKIPS.register
class NoSkip(SkipSpec):
    """Describe a network that predicts everything itself."""

    kind: Literal["none"] = "none"

    def channels(self, latent_channels: int) -> int:
        """Return those of the latent."""
        return latent_channels

    def wrap(
        self, build: BuildNetwork, latent_shape: tuple[int, int, int], schedule: Schedule, prediction: Prediction
    ) -> nn.Module:
        """Return the bare network."""
        return build(latent_shape[0])

    def fit(self, module: nn.Module, latents: Float[Tensor, "n z h w"], positions: Float[Tensor, " n"]) -> None:
        """Leave the network as it is."""
