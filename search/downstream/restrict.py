"""The same data with fewer training patients: validation and test stay as they are."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from sbldm.data import PreparedData, SliceSet
from sbldm.errors import DataError


def restrict_training(data: PreparedData, patients: Sequence[int]) -> PreparedData:
    """Return the data whose training part holds these patients alone; all of them give the same object back.

    Args:
        data: of a run.
        patients: by their numbers in the training part.
    """
    wanted, known = set(patients), set(data.train.subjects.tolist())
    if not wanted or len(wanted) < len(patients) or not wanted <= known:
        raise DataError(
            f"training patients must be some of the {len(known)} there are, each once, but got {len(patients)}"
            f" of whom {len(wanted - known)} are unknown"
        )
    return data if wanted == known else replace(data, train=select_patients(data.train, sorted(wanted)))


def select_patients(slices: SliceSet, patients: Sequence[int]) -> SliceSet:
    """Return the slices of these patients in their own order, the patients numbered anew from 0."""
    chosen = slices.select(torch.isin(slices.subjects, torch.tensor(patients)))
    _, numbers = torch.unique(chosen.subjects, return_inverse=True)
    return replace(chosen, subjects=numbers)
