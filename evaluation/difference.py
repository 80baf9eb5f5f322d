"""How far two models differ in one metric: the record that every comparison returns, and how its ends are made."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from evaluation.intervals import StandardError, symmetric_interval
from evaluation.multiplicity import holm
from evaluation.types import Direction, FeatureSet, MetricResult

IDENTICAL = "none: both sides are identical"


@dataclass(frozen=True)
class Difference:
    """One metric of the first less that of the second, with its interval, and in words how that was made.

    Attributes:
        low, high, p: None where no interval can be trusted; `note` then says why.
        p: two-sided, of no difference.
        p_holm: the same, adjusted for all comparisons made with this one.
        n: counts of rows and patients on each side.
        paired: whether both sides answer to the same noise or the same patients, row by row.
        caution: why a claim of this metric alone is not to be believed.
    """

    name: str
    first: str
    second: str
    point: float
    low: float | None
    high: float | None
    level: float
    p: float | None
    direction: Direction
    n: dict[str, int]
    interval: str
    paired: bool
    extractor: str | None = None
    p_holm: float | None = None
    note: str | None = None
    caution: str | None = None

    @property
    def is_identical(self) -> bool:
        """Say whether the two sides are the same rows."""
        return self.interval == IDENTICAL

    def as_result(self) -> MetricResult:
        """Return the difference as a metric that tables and trackers take."""
        return MetricResult(
            name=f"{self.name}: {self.first} - {self.second}",
            point=self.point,
            low=self.low,
            high=self.high,
            level=self.level,
            interval=self.interval,
            n=self.n,
            extractor=self.extractor,
            direction=self.direction,
            note=self.note,
        )

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold: an undefined number becomes its name."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @staticmethod
    def from_json(mapping: Mapping[str, Any]) -> "Difference":
        """Rebuild what `to_json` wrote."""
        numbers = ("point", "low", "high", "p", "p_holm")
        return Difference(
            **{**mapping, **{key: None if mapping[key] is None else float(mapping[key]) for key in numbers}}
        )


@dataclass(frozen=True)
class Pair:
    """What two sides are called, what is measured on them, and at which confidence."""

    name: str
    direction: Direction
    labels: tuple[str, str]
    n: dict[str, int]
    level: float
    paired: bool
    extractor: str | None = None
    note: str | None = None
    caution: str | None = None

    def differ(self, point: float, error: StandardError, method: str) -> Difference:
        """Return the difference with a t interval and the p-value of the same t."""
        limits = symmetric_interval(point, error, level=self.level, method=method)
        return self._record(point, limits.low, limits.high, p_value(point, error), method)

    def identical(self) -> Difference:
        """Return the difference of a set from itself."""
        return self._record(0.0, 0.0, 0.0, 1.0, IDENTICAL)

    def unknown(self, point: float, reason: str) -> Difference:
        """Return a difference whose interval could not be trusted."""
        found = self._record(point, None, None, None, "none: no interval covers here")
        return replace(found, note="; ".join(part for part in (self.note, reason) if part))

    def _record(self, point: float, low: float | None, high: float | None, p: float | None, method: str) -> Difference:
        return Difference(
            name=self.name,
            first=self.labels[0],
            second=self.labels[1],
            point=point,
            low=low,
            high=high,
            level=self.level,
            p=p,
            direction=self.direction,
            n=self.n,
            interval=method,
            paired=self.paired,
            extractor=self.extractor,
            note=self.note,
            caution=self.caution,
        )


def p_value(point: float, error: StandardError) -> float:
    """Return the two-sided p of no difference, from t with the error's degrees of freedom."""
    if error.value == 0:
        return 1.0 if point == 0 else 0.0
    return float(2 * special.stdtr(error.freedom, -abs(point) / error.value))


def adjust(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """Give each difference its p after Holm, over all of them; identical sides test nothing and do not count."""
    tested = [index for index, each in enumerate(differences) if each.p is not None and not each.is_identical]
    adjusted = dict(zip(tested, holm([float(differences[index].p or 0) for index in tested]), strict=True))
    return tuple(
        replace(each, p_holm=adjusted.get(index, 1.0 if each.is_identical else None))
        for index, each in enumerate(differences)
    )


def count_sides(real: FeatureSet, first: FeatureSet, second: FeatureSet) -> dict[str, int]:
    """Count the rows of all three sets, and the patients."""
    return {"real": len(real), "first": len(first), "second": len(second), "real_patients": real.patients}


def check_listed_alike(first: FeatureSet, second: FeatureSet) -> None:
    """Refuse to pair samples that cannot come from the same noise, row by row."""
    if not np.array_equal(first.groups, second.groups):
        raise ValueError(
            "paired samples must be listed alike, row by row, but got"
            f" {len(first)} and {len(second)} rows or other groups"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
