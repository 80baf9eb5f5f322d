"""The plain loss: squared error of what the network predicts."""

from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

from sbldm.diffusion.losses.base import LOSSES, LossSpec, squared_error
from sbldm.diffusion.process import Estimate, Prediction
from sbldm.diffusion.schedules.schedule import Schedule


@LOSSES.register
class MeanSquaredError(LossSpec):
    """Describe the squared error in the network's own prediction space."""

    kind: Literal["mse"] = "mse"

    def per_sample(
        self,
        estimate: Estimate,
        clean: Float[Tensor, "b ..."],
        noise: Float[Tensor, "b ..."],
        t: Int64[Tensor, " b"],
        schedule: Schedule,
        prediction: Prediction,
    ) -> Float[Tensor, " b"]:
        """Return the squared error of each sample."""
        return squared_error(
            estimate, clean, noise, t=t, schedule=schedule, prediction=prediction, snr_clip=self.snr_clip
        )
