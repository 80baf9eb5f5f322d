"""Training losses; importing a rival here registers it."""

from sbldm.diffusion.losses.base import LOSSES, AnyLoss, LossSpec, min_snr_weight, squared_error
from sbldm.diffusion.losses.focal import Focal
from sbldm.diffusion.losses.frequency import FrequencyLossSpec
from sbldm.diffusion.losses.mse import MeanSquaredError
from sbldm.diffusion.losses.radial import Radial

__all__ = [
    "LOSSES",
    "AnyLoss",
    "Focal",
    "FrequencyLossSpec",
    "LossSpec",
    "MeanSquaredError",
    "Radial",
    "min_snr_weight",
    "squared_error",
]
