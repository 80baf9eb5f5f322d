"""Noise schedules; importing a rival here registers it."""

from sbldm.diffusion.schedules.base import SCHEDULES, AnySchedule, ScheduleSpec, Terminal
from sbldm.diffusion.schedules.cosine import Cosine
from sbldm.diffusion.schedules.gamma import Gamma
from sbldm.diffusion.schedules.linear import Linear
from sbldm.diffusion.schedules.schedule import Schedule

__all__ = ["SCHEDULES", "AnySchedule", "Cosine", "Gamma", "Linear", "Schedule", "ScheduleSpec", "Terminal"]
