"""Which training patients a fraction holds: permutations, so that a smaller fraction lies inside a larger one."""

from collections.abc import Sequence

import torch

from sbldm.errors import ConfigError
from sbldm.seeding import generator

LEAST_PATIENTS = 2
Numbers = tuple[int, ...]


def nested_patients(patients: Sequence[int], fractions: Sequence[float], *, seed: int) -> dict[float, Numbers]:
    """Return the patients of each fraction by one permutation.

    Args:
        patients: numbers of all training patients.
        fractions: in (0, 1]; a fraction that leaves fewer than two patients is refused.
        seed: another seed makes another permutation.
    """
    known = sorted(set(patients))
    order = torch.randperm(len(known), generator=generator(seed, "benchmark", "patients")).tolist()
    chosen = {}
    for fraction in sorted(fractions):
        count = round(fraction * len(known))
        if count < LEAST_PATIENTS:
            raise ConfigError(
                f"each fraction must leave {LEAST_PATIENTS} patients or more, but {fraction:g} of {len(known)}"
                f" is {count}; raise the fraction or give more patients"
            )
        chosen[fraction] = tuple(sorted(known[place] for place in order[:count]))
    return chosen
