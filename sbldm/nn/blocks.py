"""The few layers that autoencoders and small networks share."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

LARGEST_GROUPS = 32


class ResidualBlock(nn.Module):
    """Two normalised 3x3 convolutions beside a skip; starts as the skip alone."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            normalise(channels_in), nn.SiLU(), nn.Conv2d(channels_in, channels_out, 3, padding=1)
        )
        last = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.second = nn.Sequential(normalise(channels_out), nn.SiLU(), zeroed(last))
        self.skip = nn.Identity() if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1)

    def forward(
        self, x: Float[Tensor, "b i h w"], shift: Float[Tensor, "b o 1 1"] | None = None
    ) -> Float[Tensor, "b o h w"]:
        """Return the sum of skip and branch; ``shift`` is added between the two convolutions."""
        hidden = self.first(x)
        result: Tensor = self.skip(x) + self.second(hidden if shift is None else hidden + shift)
        return result


def normalise(channels: int) -> nn.GroupNorm:
    """Return a group norm with groups of four channels or more, at most 32 of them."""
    groups = next(g for g in range(min(LARGEST_GROUPS, max(1, channels // 4)), 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Set a layer to zero, so that the branch it ends adds nothing before training."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def embed_level(t: Int64[Tensor, " b"], width: int) -> Float[Tensor, "b width"]:
    """Return cosines and sines of the level at ``width / 2`` frequencies from 1 down to 1e-4."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def append_cues(x: Float[Tensor, "b c h w"], cues: Float[Tensor, "b k"]) -> Float[Tensor, "b d h w"]:
    """Return the channels with each cue appended as a constant channel."""
    maps = cues.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, maps], dim=1)
