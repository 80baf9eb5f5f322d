"""Does a model draw the straight seams that CutMix taught it? Axis-aligned edges, measured against real images."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import avg_pool1d

LIKELY_RUN = 8


@dataclass(frozen=True)
class SeamReport:
    """How much straighter the edges of generated images are than those of real ones."""

    real: float
    """Median seam energy of the real images."""
    generated: float
    """Median seam energy of the generated images."""
    share_above: float
    """Share of generated images above the real images' 95th percentile: 0.05 when nothing leaks."""
    excess: float
    """``share_above - 0.05``."""


def seam_report(
    generated: Float[Tensor, "n c h w"], real: Float[Tensor, "m c h w"], *, run: int = LIKELY_RUN
) -> SeamReport:
    """Compare the seam energies of generated and real images of the same size and range."""
    if generated.shape[1:] != real.shape[1:] or min(len(generated), len(real)) == 0:
        raise ValueError(
            f"seams are compared between images of one shape, but got {tuple(generated.shape)=}, {tuple(real.shape)=}"
        )
    ours, theirs = seam_energy(generated, run=run), seam_energy(real, run=run)
    above = float((ours > theirs.quantile(0.95)).double().mean())
    return SeamReport(
        real=float(theirs.median()), generated=float(ours.median()), share_above=above, excess=above - 0.05
    )


def seam_energy(images: Float[Tensor, "n c h w"], *, run: int = LIKELY_RUN) -> Float64[Tensor, " n"]:
    """Return per image the strongest straight run of an edge along rows or columns, over the mean edge.

    A seam is a step between two neighbor lines that its own neighbors on either side do not share, kept up
    for ``run`` pixels at the same place. Unaffected by brightness, contrast, flips and transposition.
    """
    if min(images.shape[-2:]) < max(4, run):
        raise ValueError(f"images must be at least {max(4, run)} pixels wide and high, but got {tuple(images.shape)}")
    gray = images.detach().double().mean(1)
    upright, lying = _edges(gray), _edges(gray.transpose(1, 2))
    mean_edge = (upright.mean((1, 2)) + lying.mean((1, 2))) / 2
    strongest = torch.maximum(_strongest_run(upright, run), _strongest_run(lying, run))
    return strongest / mean_edge.clamp_min(torch.finfo(torch.float64).tiny)


def _edges(gray: Float64[Tensor, "n h w"]) -> Float64[Tensor, "n h steps"]:
    return gray.diff(dim=2).abs()


def _strongest_run(edges: Float64[Tensor, "n h steps"], run: int) -> Float64[Tensor, " n"]:
    beside = torch.maximum(edges[:, :, :-2], edges[:, :, 2:])
    step = (edges[:, :, 1:-1] - beside).clamp_min(0)
    runs = avg_pool1d(step.transpose(1, 2), kernel_size=run, stride=1)  # mean along the line
    return runs.amax((1, 2))
