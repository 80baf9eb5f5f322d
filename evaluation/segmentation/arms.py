"""The arms of the benchmark: what each segmenter is trained on, what is added to its batches, and on what it is tested.

Every arm takes the same number of steps. An arm deals ``batch`` slices of its base at each step, and an arm with an
extra deals ``ratio * batch`` more; the base deals the same slices with the extra and without it. So the arm `real` is
one training whatever the ratio, and `real+synthetic` differs from `real duplicated`, which has as many slices in each
batch, in the origin of the added ones alone.
"""

from dataclasses import dataclass
from typing import Literal

from evaluation.segmentation.pool import Part, Pool
from evaluation.segmentation.types import LabelledSet
from evaluation.segmentation.words import did_you_mean

Source = Literal["real", "synthetic"]


@dataclass(frozen=True)
class Arm:
    """One way to feed a segmenter.

    Attributes:
        name: as it stands in tables.
        base: where the slices of every batch come from.
        extra: where the added slices come from, or None where nothing is added.
        is_augmented: whether all slices pass the classical augmentation.
        tested_on: real test patients, or synthetic slices, whose label maps are thereby checked.
    """

    name: str
    base: Source
    extra: Source | None = None
    is_augmented: bool = False
    tested_on: Source = "real"

    @property
    def trains_on_synthetic(self) -> bool:
        """Return whether a training of this arm draws synthetic slices."""
        return "synthetic" in (self.base, self.extra)

    @property
    def needs_synthetic(self) -> bool:
        """Return whether the arm asks for synthetic slices, to train on or to test on."""
        return self.trains_on_synthetic or self.tested_on == "synthetic"

    def recipe(self) -> dict[str, str | bool | None]:
        """Return what decides its training; two arms of one recipe share their network."""
        return {"base": self.base, "extra": self.extra, "augmented": self.is_augmented}

    def pool(self, real: LabelledSet | None, synthetic: LabelledSet | None, *, ratio: float) -> Pool:
        """Return what the arm draws from.

        Args:
            real: slices of the training patients.
            synthetic: generated slices.
            ratio: slices of the extra for each slice of the base.
        """
        given = {"real": real, "synthetic": synthetic}
        parts = [Part(self.base, self._require(given, self.base))]
        if self.extra is not None:
            stream = "extra" if self.extra == self.base else self.extra
            parts.append(Part(stream, self._require(given, self.extra), ratio))
        return Pool(tuple(parts))

    def _require(self, given: dict[str, LabelledSet | None], source: Source) -> LabelledSet:
        slices = given[source]
        if slices is None:
            raise ValueError(f"arm {self.name!r} must have {source} slices to train on, but got none")
        return slices


ARMS: dict[str, Arm] = {}


def register(arm: Arm) -> Arm:
    """Add an arm to `ARMS`; a name is given once."""
    if arm.name in ARMS:
        raise ValueError(f"arm names are unique, but {arm.name!r} is registered already")
    ARMS[arm.name] = arm
    return arm


def find_arm(name: str) -> Arm:
    """Return the arm of this name, or say which arms there are."""
    if name not in ARMS:
        raise ValueError(f"unknown arm {name!r}{did_you_mean(name, ARMS)}; known: {', '.join(ARMS)}")
    return ARMS[name]


register(Arm("real", base="real"))
register(Arm("real+augmentation", base="real", is_augmented=True))
register(Arm("real duplicated", base="real", extra="real"))
register(Arm("real+synthetic", base="real", extra="synthetic"))
register(Arm("real+synthetic+augmentation", base="real", extra="synthetic", is_augmented=True))
register(Arm("synthetic", base="synthetic"))
register(Arm("real tested on synthetic", base="real", tested_on="synthetic"))
