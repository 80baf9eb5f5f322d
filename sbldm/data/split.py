"""Patients into training, validation and test; a patient is never in two parts."""

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field, model_validator

from sbldm.errors import DataError
from sbldm.spec import Spec, digest_of

PARTS = ("train", "validation", "test")


class SplitSpec(Spec):
    """Say which share of the patients goes to which part."""

    train: float = Field(default=0.6, gt=0, lt=1)
    """Share of the patients the model learns from."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share used to choose between models."""
    test: float = Field(default=0.3, gt=0, lt=1)
    """Share that only the final numbers see."""
    seed: int = Field(default=0, ge=0)
    """Another seed deals the patients anew."""

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "SplitSpec":
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"the shares train, validation and test must sum to 1, but got {total:.6g}")
        return self


@dataclass(frozen=True)
class Split:
    """Disjoint patient ids per part, in an order that says nothing about the ids."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        """Refuse an empty part and a patient in two parts."""
        everyone = self.train + self.validation + self.test
        for part in PARTS:
            if not getattr(self, part):
                raise DataError(f"each part of the split needs a patient, but {part} has none of the {len(everyone)}")
        if len(set(everyone)) < len(everyone):
            raise DataError("a patient must be in one part of the split only, but at least one is in two")

    @property
    def digest(self) -> str:
        """Return 16 hex digits that change when any patient changes part."""
        return digest_of({part: sorted(getattr(self, part)) for part in PARTS} | {"seed": self.seed})


def split_subjects(ids: Sequence[str], spec: SplitSpec) -> Split:
    """Deal patients to the parts by a keyed hash of their id, so that the order of listing is irrelevant.

    A patient who joins later moves at most one other across each border.

    Raises:
        DataError: an id appears twice, or there are fewer than three patients.
    """
    if len(set(ids)) < len(ids):
        raise DataError(f"patient ids must be unique, but {len(ids) - len(set(ids))} of {len(ids)} repeat")
    if len(ids) < len(PARTS):
        raise DataError(f"a split by patient needs at least {len(PARTS)} patients, but got {len(ids)}; add patients")
    ranked = sorted(ids, key=lambda id_: (_rank(id_, spec.seed), id_))
    train, validation, _ = _part_sizes(len(ids), (spec.train, spec.validation, spec.test))
    return Split(
        train=tuple(ranked[:train]),
        validation=tuple(ranked[train : train + validation]),
        test=tuple(ranked[train + validation :]),
        seed=spec.seed,
    )


def _rank(id_: str, seed: int) -> str:
    return hmac.new(f"split:{seed}".encode(), id_.encode(), hashlib.sha256).hexdigest()


def _part_sizes(patients: int, shares: tuple[float, float, float]) -> tuple[int, int, int]:
    """Give each part one patient, and the rest by the largest shortfall from its share."""
    sizes = [1, 1, 1]
    while sum(sizes) < patients:
        shortfalls = [share * patients - size for share, size in zip(shares, sizes, strict=True)]
        sizes[shortfalls.index(max(shortfalls))] += 1
    return sizes[0], sizes[1], sizes[2]
