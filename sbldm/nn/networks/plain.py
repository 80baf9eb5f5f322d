"""A stack of residual blocks at one resolution: the baseline that any U-Net should beat."""

from typing import Literal

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from sbldm.nn.blocks import ResidualBlock, append_cues, embed_level, normalise, zeroed
from sbldm.nn.networks.base import NETWORKS, NetworkSpec


@NETWORKS.register
class Plain(NetworkSpec):
    """Describe a residual stack without downsampling or attention."""

    kind: Literal["plain"] = "plain"
    model_channels: int = Field(32, ge=4, multiple_of=2)
    blocks: int = Field(4, ge=1)

    @property
    def grid(self) -> int:
        """Return 1: any latent size will do."""
        return 1

    def build(self, latent_channels: int, cues: int) -> "PlainNetwork":
        """Return the network, which predicts zero until trained."""
        return PlainNetwork(self, latent_channels, cues)


class PlainNetwork(nn.Module):
    """Residual blocks, each shifted by its own projection of the embedded level."""

    def __init__(self, spec: Plain, latent_channels: int, cues: int) -> None:
        super().__init__()
        width = spec.model_channels
        self.width = width
        self.embedding = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width), nn.SiLU()
        )
        self.stem = nn.Conv2d(latent_channels + cues, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width, width) for _ in range(spec.blocks))
        self.shifts = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(spec.blocks))
        self.head = nn.Sequential(normalise(width), nn.SiLU(), zeroed(nn.Conv2d(width, latent_channels, 3, padding=1)))

    def forward(
        self, noisy: Float[Tensor, "b c h w"], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """Return the prediction for levels ``t`` in 1..T."""
        embedded = self.embedding(embed_level(t, self.width))
        hidden = self.stem(append_cues(noisy, cues))
        for block, shift in zip(self.blocks, self.shifts, strict=True):
            hidden = block(hidden, shift(embedded)[:, :, None, None])
        predicted: Tensor = self.head(hidden)
        return predicted
