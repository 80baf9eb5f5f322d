"""What crosses the boundary of `evaluation`: images in [0, 1], feature rows, and results with their interval."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

Direction = Literal["lower", "higher"]
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in [0, 1], each row with the number of its patient.

    A generated image stands for itself: `stand_alone` gives every row a patient of its own.
    """

    images: Float[Tensor, "n c h w"]
    groups: Int64[Tensor, " n"]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.numel() == 0:
            raise ValueError(f"images must be a filled (n, channel, row, column) array, but got {_shape(self.images)}")
        if not self.images.is_floating_point():
            raise ValueError(
                f"images must be floating point in [0, 1], but got {self.images.dtype}; convert them first"
            )
        _check_groups(tuple(self.groups.shape), len(self.images))
        if not bool(torch.isfinite(self.images).all()):
            raise ValueError("images must be finite, but some values are NaN or infinite")
        low, high = float(self.images.min()), float(self.images.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"images must lie in [0, 1], but they span [{low:.6g}, {high:.6g}]; scale or clip them first"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def patients(self) -> int:
        """Count the distinct patients."""
        return len(torch.unique(self.groups))


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Feature rows in float64, each with its patient, and the name of the network that made them."""

    rows: Float64[np.ndarray, "n d"]
    groups: Int64[np.ndarray, " n"]
    extractor: str

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.size == 0:
            raise ValueError(f"features must be a filled (n, width) array, but got {_shape(self.rows)}")
        if self.rows.dtype != np.float64:
            raise ValueError(f"features must be float64, but got {self.rows.dtype}; convert them first")
        _check_groups(self.groups.shape, len(self.rows))
        if not np.isfinite(self.rows).all():
            raise ValueError("features must be finite, but some values are NaN or infinite")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """Count the features of one row."""
        return int(self.rows.shape[1])

    @property
    def patients(self) -> int:
        """Count the distinct patients."""
        return len(np.unique(self.groups))


@dataclass(frozen=True)
class MetricResult:
    """One number with its uncertainty, and in words how the uncertainty was made.

    The direction says which values are better; None where one value is the goal, which the note names.
    """

    name: str
    point: float
    low: float | None
    high: float | None
    level: float
    interval: str
    n: dict[str, int]
    extractor: str | None
    direction: Direction | None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold: an infinite or undefined number becomes its name."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @staticmethod
    def from_json(mapping: Mapping[str, Any]) -> "MetricResult":
        """Rebuild what `to_json` wrote."""
        return MetricResult(**{**mapping, **{key: _number(mapping[key]) for key in ("point", "low", "high")}})


def stand_alone(images: Float[Tensor, "n c h w"]) -> ImageSet:
    """Give every image a patient of its own, as generated samples have.

    >>> stand_alone(torch.zeros(3, 1, 8, 8)).groups.tolist()
    [0, 1, 2]
    """
    return ImageSet(images, torch.arange(len(images)))


def check_pair(real: FeatureSet, generated: FeatureSet) -> None:
    """Refuse two feature sets that cannot be compared."""
    if real.extractor != generated.extractor:
        raise ValueError(f"both sets must come from one extractor, but got {real.extractor!r}, {generated.extractor!r}")
    if real.width != generated.width:
        raise ValueError(f"both sets must have one width, but got {real.width} and {generated.width}")


def counts(real: ImageSet | FeatureSet, generated: ImageSet | FeatureSet) -> dict[str, int]:
    """Count rows and patients on both sides."""
    return {
        "real": len(real),
        "generated": len(generated),
        "real_patients": real.patients,
        "generated_groups": generated.patients,
    }


def _shape(array: Tensor | Array) -> str:
    return f"shape {tuple(array.shape)}"


def _check_groups(shape: tuple[int, ...], n: int) -> None:
    if shape != (n,):
        raise ValueError(f"groups must name the patient of each of the {n} rows, but got shape {tuple(shape)}")


def _number(value: Any) -> float | None:
    """Return the number; a withheld value is one object, so that two records of it are equal."""
    number = None if value is None else float(value)
    return math.nan if number is not None and math.isnan(number) else number


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
