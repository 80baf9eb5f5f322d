"""Wrap another sampler and let each sample stop as soon as its clean estimate is good enough, or settled."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from sbldm.diffusion.samplers.base import CALLING, SAMPLERS, AnySampler, Move, SamplerSpec
from sbldm.diffusion.samplers.ddim import Ddim
from sbldm.diffusion.samplers.stopping import Criterion, Stopping
from sbldm.diffusion.schedules.schedule import Schedule


@SAMPLERS.register
class Adaptive(SamplerSpec):
    """Describe early stopping; the inner sampler's steps are the most a sample can take."""

    kind: Literal["adaptive"] = "adaptive"
    inner: AnySampler = Ddim()
    threshold: float = Field(0.05, ge=0)
    """Predicted relative error, or relative change, below which a sample may stop; 0 never stops early."""
    criterion: Criterion = "error"
    """error: predicted of the clean estimate, which a network far from a posterior mean never brings low;
    change: of the clean estimate since the step before, which says that it is settled, not that it is good."""
    patience: int = Field(2, ge=1)
    """Steps in a row that must stay below the threshold."""
    snr_min: float = Field(1.0, gt=0)
    """No sample stops at a level noisier than this signal-to-noise ratio."""

    @field_validator("inner")
    @classmethod
    def _stops_once(cls, inner: SamplerSpec) -> SamplerSpec:
        if inner.stopping is not None:
            raise ValueError(f"adaptive wraps a sampler that never stops early, but got {inner.kind!r}; unwrap it")
        for own in CALLING:
            if (value := getattr(inner, own)) != SamplerSpec.model_fields[own].default:
                raise ValueError(f"{own} is the adaptive sampler's own, but got {value!r}; set it there")
        return inner

    @property
    def stopping(self) -> Stopping:
        """Return the rule."""
        return Stopping(self.threshold, patience=self.patience, snr_min=self.snr_min, criterion=self.criterion)

    def levels(self, schedule: Schedule) -> tuple[int, ...]:
        """Return the inner sampler's levels."""
        return self.inner.levels(schedule)

    def step(self, move: Move) -> Float[Tensor, "b ..."]:
        """Return the inner sampler's step."""
        return self.inner.step(move)
