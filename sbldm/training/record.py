"""What a watcher may know of one training step."""

from dataclasses import dataclass


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
