"""MONAI's diffusion U-Net behind our signature."""

from typing import ClassVar, Literal

from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor, nn

from sbldm.nn.blocks import append_cues
from sbldm.nn.networks.base import NETWORKS, NetworkSpec

ALWAYS_TOLD = 2  # position and CutMix flag; the cues behind them are conditions


@NETWORKS.register
class UNet(NetworkSpec):
    """Describe MONAI's ``DiffusionModelUNet``; cues enter as constant channels, conditions at every block too."""

    kind: Literal["unet"] = "unet"
    conditioned_form: ClassVar[int] = 2  # 1 told conditions to the first convolution alone
    model_channels: int = Field(64, ge=2, multiple_of=2)
    channel_mult: tuple[int, ...] = (1, 2, 4)
    """Width of each resolution in units of ``model_channels``; each after the first halves the size."""
    num_res_blocks: int = Field(2, ge=1)
    attention: tuple[bool, ...] | None = None
    """Which resolutions have attention; by default the lowest alone. (The middle block always has it.)"""
    head_channels: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    norm_groups: int = Field(8, ge=1)

    @model_validator(mode="after")
    def _widths_divide(self) -> "UNet":
        if not self.channel_mult or min(self.channel_mult) < 1:
            raise ValueError(f"channel_mult must hold factors of 1 or more, but got {list(self.channel_mult)}")
        if len(self.attention_levels) != len(self.channel_mult):
            raise ValueError(
                f"attention must name each of the {len(self.channel_mult)} resolutions, but got {self.attention}"
            )
        self._require_divisor("norm_groups", self.norm_groups, self.widths)
        with_attention = (w for w, on in zip(self.widths, self.attention_levels, strict=True) if on)
        self._require_divisor("head_channels", self.head_channels, (*with_attention, self.widths[-1]))
        return self

    def _require_divisor(self, name: str, value: int, widths: tuple[int, ...]) -> None:
        odd = [width for width in widths if width % value]
        if odd:
            raise ValueError(f"{name} must divide model_channels x channel_mult, but {value} does not divide {odd[0]}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the channels of each resolution, full size first."""
        return tuple(self.model_channels * factor for factor in self.channel_mult)

    @property
    def attention_levels(self) -> tuple[bool, ...]:
        """Return which resolutions have attention."""
        return (*[False] * (len(self.channel_mult) - 1), True) if self.attention is None else self.attention

    @property
    def grid(self) -> int:
        """Return the factor between the largest and the smallest resolution."""
        return 1 << (len(self.channel_mult) - 1)

    def build(self, latent_channels: int, cues: int) -> "UNetNetwork":
        """Return the network, which predicts zero until trained (MONAI zeroes its last convolution)."""
        return UNetNetwork(self, latent_channels, cues)


class UNetNetwork(nn.Module):
    """Adapt the U-Net to ``network(noisy, t, cues)``."""

    def __init__(self, spec: UNet, latent_channels: int, cues: int) -> None:
        super().__init__()
        from monai.networks.nets import DiffusionModelUNet  # here, because the import takes ten seconds

        self.unet = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=latent_channels + cues,
            out_channels=latent_channels,
            num_res_blocks=spec.num_res_blocks,
            channels=spec.widths,
            attention_levels=spec.attention_levels,
            norm_num_groups=spec.norm_groups,
            num_head_channels=tuple(
                spec.head_channels if on or lowest else width for width, on, lowest in _levels(spec)
            ),
        )
        if spec.dropout:
            _add_dropout(self.unet, spec.dropout)
        if cues > ALWAYS_TOLD:
            _embed_conditions(self.unet, cues - ALWAYS_TOLD, spec.model_channels)

    def forward(
        self, noisy: Float[Tensor, "b c h w"], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """Return the prediction for levels ``t`` in 1..T."""
        told = cues[:, ALWAYS_TOLD:].to(noisy.dtype) if cues.shape[1] > ALWAYS_TOLD else None
        predicted: Tensor = self.unet(append_cues(noisy, cues), t, class_labels=told)
        return predicted


def _levels(spec: UNet) -> list[tuple[int, bool, bool]]:
    last = len(spec.widths) - 1
    return [
        (width, on, i == last) for i, (width, on) in enumerate(zip(spec.widths, spec.attention_levels, strict=True))
    ]


def _add_dropout(unet: nn.Module, rate: float) -> None:
    # MONAI drops out in cross-attention alone; Ho et al. 2020 do so before each block's second convolution
    for block in [block for block in unet.modules() if hasattr(block, "time_emb_proj")]:
        block.conv2 = nn.Sequential(nn.Dropout(rate), block.get_submodule("conv2"))


def _embed_conditions(unet: nn.Module, conditions: int, model_channels: int) -> None:
    """Add the conditions to MONAI's embedded level, which shifts every block; nothing is added before training."""
    width = 4 * model_channels  # of MONAI's embedded level
    last = nn.Linear(width, width)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    # MONAI then adds its class embedding to the level; its own is a table, in which numbers cannot be looked up
    unet.num_class_embeds = conditions  # type: ignore[assignment]
    unet.class_embedding = nn.Sequential(nn.Linear(conditions, width), nn.SiLU(), last)
