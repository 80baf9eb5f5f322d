"""Samplers; importing a rival here registers it."""

from sbldm.diffusion.samplers.adaptive import Adaptive
from sbldm.diffusion.samplers.base import CALLING, SAMPLERS, AnySampler, Earlier, Move, SamplerSpec
from sbldm.diffusion.samplers.ddim import Ddim
from sbldm.diffusion.samplers.ddpm import Ddpm, posterior
from sbldm.diffusion.samplers.dpm_solver import DpmSolver
from sbldm.diffusion.samplers.levels import Spacing, spaced_levels
from sbldm.diffusion.samplers.loop import SampleStep, sample
from sbldm.diffusion.samplers.replay import Replay, Trajectory, record, replay
from sbldm.diffusion.samplers.stopping import Criterion, Stopping, relative_change, relative_error

__all__ = [
    "CALLING",
    "SAMPLERS",
    "Adaptive",
    "AnySampler",
    "Criterion",
    "Ddim",
    "Ddpm",
    "DpmSolver",
    "Earlier",
    "Move",
    "Replay",
    "SampleStep",
    "SamplerSpec",
    "Spacing",
    "Stopping",
    "Trajectory",
    "posterior",
    "record",
    "relative_change",
    "relative_error",
    "replay",
    "sample",
    "spaced_levels",
]
