"""The family of training losses: one number per sample, so that the caller may average or watch by noise level."""

from abc import abstractmethod
from typing import Annotated

from jaxtyping import Float, Float64, Int64
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor

from sbldm.diffusion.process import Estimate, Prediction, target
from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.spec import Registry, Spec


class LossSpec(Spec):
    """Describe a loss; ``snr_clip`` turns min-SNR weights on (5 is usual)."""

    kind: str
    snr_clip: float | None = Field(None, gt=0)

    @abstractmethod
    def per_sample(
        self,
        estimate: Estimate,
        clean: Float[Tensor, "b ..."],
        noise: Float[Tensor, "b ..."],
        t: Int64[Tensor, " b"],
        schedule: Schedule,
        prediction: Prediction,
    ) -> Float[Tensor, " b"]:
        """Return the loss of each sample; 0 exactly where the estimate is the truth."""

    def reduced(self) -> "LossSpec":
        """Return the simplest loss of the same values and gradients, so that a training by either is the same one."""
        return self


LOSSES = Registry("loss", LossSpec)  # type: ignore[type-abstract]  # only its rivals are built
AnyLoss = Annotated[SerializeAsAny[LossSpec], BeforeValidator(LOSSES.parse)]


def squared_error(
    estimate: Estimate,
    clean: Float[Tensor, "b ..."],
    noise: Float[Tensor, "b ..."],
    t: Int64[Tensor, " b"],
    schedule: Schedule,
    prediction: Prediction,
    snr_clip: float | None,
) -> Float[Tensor, " b"]:
    """Return the mean squared error of each sample in the network's own prediction space, min-SNR weighted if asked."""
    predicted = target(estimate.clean, estimate.noise, t, schedule=schedule, prediction=prediction)
    truth = target(clean, noise, t, schedule=schedule, prediction=prediction)
    error = (predicted - truth).square().flatten(1).mean(1)
    if snr_clip is None:
        return error
    return error * min_snr_weight(t, schedule, prediction=prediction, clip=snr_clip).to(error.dtype)


def min_snr_weight(
    t: Int64[Tensor, " b"], schedule: Schedule, prediction: Prediction, clip: float
) -> Float64[Tensor, " b"]:
    """Return the weight that makes any prediction's error ``min(SNR, clip)`` times that of x0 (Hang et al. 2023)."""
    snr = schedule.snr.to(t.device)[t]
    if prediction == "eps":
        return (clip / snr).clamp(max=1.0)
    if prediction == "x0":
        return snr.clamp(max=clip)
    return snr.clamp(max=clip) / (snr + 1)
