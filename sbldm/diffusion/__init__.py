"""From noise to samples and back: the process, its schedules, losses and samplers."""

from sbldm.diffusion.cutmix import CutMixSpec, Mixed, cutmix
from sbldm.diffusion.losses import LOSSES, AnyLoss, LossSpec
from sbldm.diffusion.process import (
    Denoiser,
    Estimate,
    NoisePredictor,
    Prediction,
    check_prediction,
    diffuse,
    estimate,
    target,
)
from sbldm.diffusion.samplers import (
    SAMPLERS,
    AnySampler,
    Replay,
    SamplerSpec,
    SampleStep,
    Stopping,
    Trajectory,
    record,
    replay,
    sample,
)
from sbldm.diffusion.schedules import SCHEDULES, AnySchedule, Schedule, ScheduleSpec
from sbldm.diffusion.seams import SeamReport, seam_energy, seam_report
from sbldm.diffusion.skips import SKIPS, AnySkip, NoSkip, SkipSpec
from sbldm.diffusion.training_levels import TRAINING_LEVELS, AnyTrainingLevels, TrainingLevelsSpec, Uniform

__all__ = [
    "LOSSES",
    "SAMPLERS",
    "SCHEDULES",
    "SKIPS",
    "TRAINING_LEVELS",
    "AnyLoss",
    "AnySampler",
    "AnySchedule",
    "AnySkip",
    "AnyTrainingLevels",
    "CutMixSpec",
    "Denoiser",
    "Estimate",
    "LossSpec",
    "Mixed",
    "NoSkip",
    "NoisePredictor",
    "Prediction",
    "Replay",
    "SampleStep",
    "SamplerSpec",
    "Schedule",
    "ScheduleSpec",
    "SeamReport",
    "SkipSpec",
    "Stopping",
    "TrainingLevelsSpec",
    "Trajectory",
    "Uniform",
    "check_prediction",
    "cutmix",
    "diffuse",
    "estimate",
    "record",
    "replay",
    "sample",
    "seam_energy",
    "seam_report",
    "target",
]
