"""How long and how fast to train; every rate is a pure function of the step."""

import math
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from sbldm.precision import Precision
from sbldm.spec import Spec


class TrainingSpec(Spec):
    """Describe one training stage."""

    younger: ClassVar[tuple[str, ...]] = ("accumulate", "checkpoint_activations", "compile", "validations")

    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: fall to 0 at the last step; both rise linearly over ``warmup_steps`` first."""
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    beta2: float = Field(0.999, gt=0, lt=1)
    """Decay of AdamW's second moment."""
    gradient_clip: float | None = Field(1.0, gt=0)
    """Largest gradient norm; None for no limit."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Decay of the averaged weights, reached by min(decay, (1 + step) / (10 + step)); 0 for no averaging."""
    precision: Precision = "auto"
    """auto: float32 on a CPU, bfloat16 where it has tiles of that for a wide module; bfloat16 or float16 on a GPU."""
    commit_every: int = Field(500, ge=1)
    """Steps between checkpoints."""
    commit_seconds: float = Field(300.0, gt=0)
    """A checkpoint is also due when this much time has passed."""
    accumulate: int = Field(1, ge=1)
    """Run each step's batch through the module in so many parts: less memory, a forward pass more, the same step."""
    checkpoint_activations: bool = False
    """Keep only what enters each block, and compute the rest again on the way back: less memory, a third slower."""
    compile: bool = False
    """Compile the module; worth it on a GPU only, and for long trainings."""
    validations: int = Field(5, ge=0)
    """How often the network is measured on validation patients, evenly spread, the last time at the end."""

    @model_validator(mode="after")
    def _parts_are_equal(self) -> "TrainingSpec":
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate must divide batch {self.batch}, but got {self.accumulate}")
        return self


def learning_rate(spec: TrainingSpec, step: int) -> float:
    """Return the rate of step 1..steps: a linear rise to the full rate at ``warmup_steps``, then the schedule."""
    if step < spec.warmup_steps:
        return spec.learning_rate * step / spec.warmup_steps
    if spec.schedule == "constant":
        return spec.learning_rate
    done = (step - spec.warmup_steps) / max(1, spec.steps - spec.warmup_steps)
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
