"""Does a model draw the straight seams that CutMix taught it? Axis-aligned edges, measured against real images."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import avg_pool1d

LIKELY_RUN = 3 / 8  # of the shorter side: longer than round tissue runs straight, shorter than most boxes


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
    generated: Float[Tensor, "n c h w"], real: Float[Tensor, "m _ _ _"], *, run: int | None = None
) -> SeamReport:
    """Compare the seam energies of generated and real images of the same size."""
    if generated.shape[1:] != real.shape[1:] or min(len(generated), len(real)) == 0:
        raise ValueError(
            f"seams are compared between images of one shape, but got {tuple(generated.shape)=}, {tuple(real.shape)=}"
        )
    ours, theirs = seam_energy(generated, run=run), seam_energy(real, run=run)
    above = float((ours > theirs.quantile(0.95)).double().mean())
    return SeamReport(
        real=float(theirs.median()), generated=float(ours.median()), share_above=above, excess=above - 0.05
    )


def seam_energy(images: Float[Tensor, "n c h w"], *, run: int | None = None) -> Float64[Tensor, " n"]:
    """Return per image, from 0 to 1, how much of a straight line along rows or columns is one sharp edge.

    A seam is a step between two neighbor lines that the lines on either side do not share, kept up over
    ``run`` pixels. Each step counts up to the image's mean edge, so that a strong round edge does not pass
    for a long straight one. Unaffected by brightness, contrast, flips and transposition.

    Args:
        images: any value range; channels are averaged.
        run: length of line to look at; 3/8 of the shorter side if not given.
    """
    shorter = min(images.shape[-2:])
    run = int(LIKELY_RUN * shorter) if run is None else run
    if not (shorter >= 4 and 1 <= run <= shorter):
        raise ValueError(f"seams need 4 or more pixels a side and a run that fits, but got {images.shape=}, {run=}")
    gray = images.detach().double().mean(1)
    upright, lying = gray.diff(dim=2).abs(), gray.transpose(1, 2).diff(dim=2).abs()
    mean_edge = (upright.mean((1, 2)) + lying.mean((1, 2))) / 2
    scale = 1 / mean_edge.clamp_min(torch.finfo(torch.float64).tiny)[:, None, None]
    return torch.maximum(_strongest_run(upright * scale, run), _strongest_run(lying * scale, run))


def _strongest_run(edges: Float64[Tensor, "n h steps"], run: int) -> Float64[Tensor, " n"]:
    beside = torch.maximum(edges[:, :, :-2], edges[:, :, 2:])
    step = (edges[:, :, 1:-1] - beside).clamp(0, 1)
    return avg_pool1d(step.transpose(1, 2), kernel_size=run, stride=1).amax((1, 2))  # means along the line
