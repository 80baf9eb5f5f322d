"""Which segmenters are trained: each arm, at each fraction of the patients, with each seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evaluation.segmentation.arms import find_arm
from evaluation.segmentation.seeding import generator

Patients = tuple[int, ...]


@dataclass(frozen=True)
class Training:
    """One segmenter to train.

    Attributes:
        arm: name in `ARMS`.
        fraction: share of the training patients, in (0, 1].
        seed: of weights, batches and patients.
        patients: numbers of the real training patients, in order.
    """

    arm: str
    fraction: float
    seed: int
    patients: Patients

    def describe(self) -> dict[str, Any]:
        """Return in JSON values what decides the network, apart from slices and settings.

        Arms that share a network, such as `real` and `real tested on synthetic`, say the same.
        """
        return {"recipe": find_arm(self.arm).recipe(), "seed": self.seed, "patients": list(self.patients)}


def plan_trainings(
    patients: Sequence[int], *, arms: Sequence[str], fractions: Sequence[float], seeds: Sequence[int]
) -> tuple[Training, ...]:
    """Return each arm at each fraction with each seed, by seed, then fraction, then arm.

    Args:
        patients: numbers of all training patients.
        arms: names in `ARMS`.
        fractions: shares of the patients, in (0, 1].
        seeds: each has its own order of the patients, and one order serves all its arms and fractions.
    """
    for arm in arms:
        find_arm(arm)
    return tuple(
        Training(arm, fraction, seed, chosen)
        for seed in seeds
        for fraction, chosen in nested_fractions(patients, fractions, seed=seed).items()
        for arm in arms
    )


def nested_fractions(patients: Sequence[int], fractions: Sequence[float], *, seed: int) -> dict[float, Patients]:
    """Return the patients of each fraction, rising: those of a smaller one are among those of a larger one.

    A fraction holds the nearest whole number of patients, and at least one.
    """
    known = sorted(set(patients))
    if not known:
        raise ValueError("a plan needs at least 1 training patient, but got none")
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise ValueError(f"fractions must lie in (0, 1], but got {fraction}")
    order = torch.randperm(len(known), generator=generator(seed, "patients")).tolist()
    return {
        fraction: tuple(sorted(known[place] for place in order[: max(1, round(fraction * len(known)))]))
        for fraction in sorted(set(fractions))
    }
