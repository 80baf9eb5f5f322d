"""Guidance as a predictor around another, led away from what a weaker one says: no sampler knows of it."""

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
    """Predict ``(1 + w) p(cues) - w p(blank cues)``, classifier-free, from one call on the doubled batch.

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
        return _lead(told, untold, self.scale)


@dataclass(frozen=True, eq=False)
class Autoguided:
    """Predict ``(1 + w) p - w q``, where q knows less of the same data than p (Karras et al. 2024, eq. 4).

    What p has learned beyond q is trusted to go on in the same direction. Their weight is 1 + w here.
    """

    predictor: NoisePredictor
    weaker: NoisePredictor
    scale: float

    def __call__(
        self, noisy: Float[Tensor, "b ..."], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b ..."]:
        """Return the guided prediction in the precision of ``noisy``."""
        stronger, weaker = (each(noisy, t, cues).to(noisy.dtype) for each in (self.predictor, self.weaker))
        return _lead(stronger, weaker, self.scale)


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


def autoguide(denoiser: Denoiser, scale: float, weaker: NoisePredictor) -> Denoiser:
    """Return a denoiser led away from a weaker predictor of the same kind; at scale 0 the denoiser itself."""
    if not 0 <= scale < float("inf"):
        raise ValueError(f"autoguidance must be 0 or more and finite, but got {scale=}")
    return denoiser if scale == 0 else replace(denoiser, predictor=Autoguided(denoiser.predictor, weaker, scale))


def _lead(stronger: Float[Tensor, "b ..."], weaker: Float[Tensor, "b ..."], scale: float) -> Float[Tensor, "b ..."]:
    return (1 + scale) * stronger - scale * weaker
