"""Laws by which training draws noise levels; importing a rival here registers it."""

from sbldm.diffusion.training_levels.base import TRAINING_LEVELS, AnyTrainingLevels, TrainingLevelsSpec
from sbldm.diffusion.training_levels.log_normal import LogNormal
from sbldm.diffusion.training_levels.uniform import Uniform

__all__ = ["TRAINING_LEVELS", "AnyTrainingLevels", "LogNormal", "TrainingLevelsSpec", "Uniform"]
