"""Classifier-free guidance as a predictor around another: no sampler knows of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sbldm.diffusion.process import Denoiser, NoisePredictor

Blank = Callable[[Tensor], Tensor]
"""Turns cues into those of a sample about which nothing is known; position and CutMix flag stay."""


@dataclass(frozen=True, eq=False)
class Guided:
    """Predict ``(1 + w) p(cues) - w p(blank cues)`` from one call on the doubled batch.

    Ho & Salimans 2022, eq. 6, state it for the noise. x0 and v are affine in the noise at a given noisy sample, and
    the two weights sum to 1, so the same combination of any prediction implies exactly the guided noise.
    """

    predictor: NoisePredictor
    scale: float
    blank: Blank

    def __call__(
        self, noisy: Float[Tensor, "b ..."], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b ..."]:
        """Return the guided prediction in the precision of ``noisy``."""
        both = self.predictor(torch.cat([noisy, noisy]), torch.cat([t, t]), torch.cat([cues, self.blank(cues)]))
        told, untold = both.to(noisy.dtype).chunk(2)
        return (1 + self.scale) * told - self.scale * untold


def guide(denoiser: Denoiser, scale: float, blank: Blank) -> Denoiser:
    """Return a denoiser that heeds its cues more than it was trained to.

    Args:
        denoiser: a conditional one that has also learned the blank cues.
        scale: w of Ho & Salimans 2022: 0 is plainly conditional (and costs no second call), -1 unconditional,
            above 0 guided. Many programs call 1 + w the guidance scale.
        blank: takes the conditions out of cues.
    """
    if not -1 <= scale < float("inf"):
        raise ValueError(f"guidance must be -1 or more and finite, but got {scale=}")
    return denoiser if scale == 0 else replace(denoiser, predictor=Guided(denoiser.predictor, scale, blank))
