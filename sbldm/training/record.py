"""What a watcher may know of a training: each step, and now and then the loss on validation patients."""

import math
from dataclasses import dataclass

from sbldm.training.validation import LossInterval


@dataclass(frozen=True)
class StepRecord:
    """What a watcher may know of one training step, counted from 1."""

    stage: str
    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    """Before clipping; infinite where a float16 step overflowed and was skipped."""
    seconds: float
    peak_memory_bytes: int
    is_exact: bool
    """False once resumed on another kind of machine than the checkpoint's."""
    samples: int = 0
    """Samples this step was made of, in all processes together."""

    @property
    def samples_per_second(self) -> float:
        """Return the pace of this step."""
        return self.samples / self.seconds

    def seconds_per_epoch(self, count: int) -> float:
        """Return how long ``count`` training samples take at the pace of this step."""
        return self.seconds * count / self.samples


@dataclass(frozen=True)
class ValidationRecord:
    """The clean error of the averaged weights on validation patients after a step, by range of log-SNR.

    Attributes:
        stage: diffusion.
        step: counted from 1.
        steps: of the whole training.
        losses: with 95 % intervals over patients, under the names they are logged by: ``validation/loss_snr_-2_0``.
    """

    stage: str
    step: int
    steps: int
    losses: dict[str, LossInterval]

    def numbers(self) -> dict[str, float]:
        """Return each loss by name, and both ends of its interval where there is one."""
        found: dict[str, float] = {}
        for name, loss in self.losses.items():
            ends = {name: loss.point, f"{name}_low": loss.low, f"{name}_high": loss.high}
            found |= {key: value for key, value in ends.items() if not math.isnan(value)}
        return found
