"""The network's loss on validation patients while it trains: when, on which slices, and at what price."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sbldm.diffusion import Denoiser, Prediction, Schedule
from sbldm.training.record import ValidationRecord
from sbldm.training.spec import TrainingSpec
from sbldm.training.validation import LOG_SNR_EDGES, loss_intervals, validation_loss

SHARE = 0.025
"""Of the training's operations: what validation may take beside them."""
STEP_PASSES = 3  # the way back computes two products where the way forth computes one
FEWEST = 8
"""Slices that are worth a look."""
SEED = 0  # the same noise for all runs, so that they compare


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Normalized latents of validation slices, with what the network is told of each and the patient it is of."""

    latents: Float[Tensor, "n z h w"]
    cues: Float[Tensor, "n k"]
    patients: Int64[Tensor, " n"]

    def spread(self, most: int) -> "ValidationSet":
        """Return at most so many slices, evenly spread, so that every patient keeps some where that is possible."""
        if most >= len(self.latents):
            return self
        rows = torch.arange(most) * len(self.latents) // most
        return ValidationSet(self.latents[rows], self.cues[rows], self.patients[rows])


@dataclass(frozen=True, eq=False)
class Watch:
    """Measure a network at some steps, all on the same slices with the same noise."""

    part: ValidationSet
    schedule: Schedule
    prediction: Prediction
    due: frozenset[int]
    """Steps after which it is measured, the last of training among them."""

    def measure(self, network: nn.Module, stage: str, step: int, steps: int) -> ValidationRecord:
        """Return the clean error in each range of log-SNR; pass the averaged weights, as they are evaluated."""
        denoiser = Denoiser(network, self.schedule, self.prediction)
        device = next(network.parameters()).device
        bins = validation_loss(denoiser, self.part.latents.to(device), self.part.cues.to(device), seed=SEED)
        return ValidationRecord(stage, step, steps, loss_intervals(bins, self.part.patients))


def plan_watch(part: ValidationSet, spec: TrainingSpec, schedule: Schedule, prediction: Prediction) -> Watch:
    """Spend at most ``SHARE`` of the training's operations: fewer slices first, then fewer looks; one look is always.

    A look passes every slice through the network once for each range of log-SNR.
    """
    passes = int(SHARE * STEP_PASSES * spec.steps * spec.batch) // (len(LOG_SNR_EDGES) - 1)
    looks = min(spec.validations, max(1, passes // FEWEST))
    due = frozenset(spec.steps * look // looks for look in range(1, looks + 1))
    return Watch(part.spread(max(FEWEST, passes // max(1, looks))), schedule, prediction, due)
