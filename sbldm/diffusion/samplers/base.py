"""The family of samplers: a rival says which levels to visit and how to take one step, nothing more."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor

from sbldm.diffusion.process import Estimate
from sbldm.diffusion.samplers.stopping import Stopping
from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.precision import Precision
from sbldm.spec import Registry, Spec


@dataclass(frozen=True, eq=False)
class Earlier:
    """The estimate of the step before, for samplers that look back."""

    t: int
    estimate: Estimate


@dataclass(frozen=True, eq=False)
class Move:
    """All a sampler may use to go from level t down to level s, above 0."""

    t: int
    s: int
    noisy: Float[Tensor, "b ..."]
    estimate: Estimate
    earlier: Earlier | None
    schedule: Schedule
    draw: Callable[[], Tensor]
    """Draws fresh standard normal noise, each sample from its own generator."""


CALLING = "precision", "autoguidance"
"""The settings of a sampler that say how the network is called; one that wraps another states them for both."""


class SamplerSpec(Spec):
    """Describe how noise is walked to a sample."""

    younger: ClassVar[tuple[str, ...]] = CALLING
    order: ClassVar[int] = 1
    """The error of the whole walk falls as ``steps ** -order``."""
    kind: str
    precision: Precision = "auto"
    """Of the network's products; auto as in training: half of float32 on a GPU, and where a CPU has tiles for it."""
    autoguidance: float = Field(0.0, ge=0)
    """How far the network is led on from the closed form of its skip: the weight of Karras et al. 2024, less 1."""

    @abstractmethod
    def levels(self, schedule: Schedule) -> tuple[int, ...]:
        """Return the levels to visit, strictly falling from T to 0."""

    @abstractmethod
    def step(self, move: Move) -> Float[Tensor, "b ..."]:
        """Return the sample at level ``move.s``; the last step, to level 0, is the estimate itself."""

    @property
    def stopping(self) -> Stopping | None:
        """Return when a sample may stop early, or None for never."""
        return None


SAMPLERS = Registry("sampler", SamplerSpec)  # type: ignore[type-abstract]  # only its rivals are built
AnySampler = Annotated[SerializeAsAny[SamplerSpec], BeforeValidator(SAMPLERS.parse)]
