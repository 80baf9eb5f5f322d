"""What is predicted without a network; importing a rival here registers it."""

from sbldm.diffusion.skips.base import SKIPS, AnySkip, SkipSpec
from sbldm.diffusion.skips.gaussian import GaussianSkip, Skipped
from sbldm.diffusion.skips.none import NoSkip

__all__ = ["SKIPS", "AnySkip", "GaussianSkip", "NoSkip", "SkipSpec", "Skipped"]
