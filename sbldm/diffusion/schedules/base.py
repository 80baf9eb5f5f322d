"""The family of noise schedules: the shape is the rival's, the terminal noise is chosen here."""

from abc import abstractmethod
from typing import Annotated, Literal

import torch
from jaxtyping import Float64
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from torch import Tensor

from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.spec import Registry, Spec

Terminal = Literal["free", "match", "zero"]
MOST_SIGNAL_LEFT = 0.05


class ScheduleSpec(Spec):
    """Describe a schedule: its kind, its number of levels and where it must end."""

    kind: str
    timesteps: int = Field(1000, ge=2)
    terminal: Terminal = "free"
    """free: as the shape has it; match: the linear schedule's; zero: no signal at T (Lin et al. 2023)."""

    def build(self) -> Schedule:
        """Return the schedule these settings describe."""
        if self.terminal == "match":
            return Schedule(self.matched())
        if self.terminal == "zero":
            return Schedule(rescale_terminal(self.free(), 0.0))
        return Schedule(self.free())

    @abstractmethod
    def free(self) -> Float64[Tensor, " levels"]:
        """Return ``alpha_bar`` as the shape alone has it."""

    @abstractmethod
    def matched(self) -> Float64[Tensor, " levels"]:
        """Return ``alpha_bar`` of this shape that ends where the linear schedule ends."""

    @model_validator(mode="after")
    def _becomes_noise(self) -> "ScheduleSpec":
        left = float(self.build().alpha_bar[-1])
        if left > MOST_SIGNAL_LEFT:
            raise ValueError(
                f"alpha_bar at the last level must be at most {MOST_SIGNAL_LEFT}, but it is {left:.3g}:"
                f" this {self.kind} schedule never becomes noise; raise beta_end or timesteps, or lower gamma"
            )
        return self


SCHEDULES = Registry("schedule", ScheduleSpec)  # type: ignore[type-abstract]  # only its rivals are built
AnySchedule = Annotated[SerializeAsAny[ScheduleSpec], BeforeValidator(SCHEDULES.parse)]


def accumulate(betas: Float64[Tensor, " steps"]) -> Float64[Tensor, " levels"]:
    """Return ``alpha_bar[0..T]`` of the given betas."""
    if not bool(((betas > 0) & (betas < 1)).all()):
        raise ValueError(f"betas must lie in (0, 1), but they span {float(betas.min())} to {float(betas.max())}")
    return torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])


def rescale_terminal(alpha_bar: Float64[Tensor, " levels"], terminal: float) -> Float64[Tensor, " levels"]:
    """Return a copy whose last level is ``terminal``, the first noisy level unchanged.

    The root of alpha_bar is shifted and scaled (Lin et al. 2023, algorithm 1, there for terminal 0).
    """
    root = alpha_bar[1:].sqrt()
    first, last, wanted = root[0], root[-1], terminal**0.5
    rescaled = wanted + (root - last) * (first - wanted) / (first - last)
    return torch.cat([alpha_bar[:1], rescaled**2])
