"""What a network is told beside the position: numbers on two scales, each with a flag that it is known."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64, Int64
from pydantic import Field
from torch import Tensor

from sbldm.data.conditions import Conditions
from sbldm.errors import ConfigError, DataError
from sbldm.spec import Spec, did_you_mean, digest_of

TOLD_AS = "deviations", "ranks", "flags"
"""How each condition is told: as standardized value, as rank among the training rows, and whether it is known."""
ALIKE = 0.05  # share of the training rows from which numbers that are not asked for are taken
ROUNDING = 1e-9
logger = logging.getLogger(__name__)


class ConditioningSpec(Spec):
    """Say how a network learns from conditions; without any it decides nothing."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the training samples about which the network is told nothing, which guidance needs."""


@dataclass(frozen=True, eq=False)
class Conditioner:
    """The conditions of the training slices, and the scale on which a network sees such numbers.

    Attributes:
        rows: one per training slice; a model carries them, because samples are drawn from them.
        mean: of the training patients, each of whom counts once.
        deviation: their standard deviation, above 0.
    """

    rows: Conditions
    mean: Float64[Tensor, " k"]
    deviation: Float64[Tensor, " k"]

    def __post_init__(self) -> None:
        """Refuse statistics that do not fit the rows."""
        width = (len(self.rows.names),)
        if not len(self.rows) or self.mean.shape != width or self.deviation.shape != width:
            raise DataError(f"conditions need rows, and a mean and a deviation for each of {list(self.rows.names)}")
        if not bool((self.deviation > 0).all() and self.mean.isfinite().all()):
            raise DataError("conditions need finite means and deviations above 0")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the conditions, in order."""
        return self.rows.names

    def digest(self) -> str:
        """Return 16 hex digits of all that the network is told; the scales follow from rows and patients."""
        return digest_of([self.rows.digest(), self.mean.tolist(), self.deviation.tolist(), TOLD_AS])

    def encode(self, values: Float[Tensor, "b k"]) -> Float[Tensor, "b c"]:
        """Return k standardized numbers, k ranks in [-1, 1] and k flags per sample; a missing number is 0, 0 and 0.

        Ranks part numbers that deviations bring together, as a small lesion and none where a few are large; deviations
        still tell numbers beyond the training range apart, where ranks end.
        """
        known = ~values.isnan()
        scaled = torch.where(known, (values.double() - self.mean) / self.deviation, 0.0)
        columns = zip(values.T, self._sorted, strict=True)
        ranks = torch.stack([_ranks(column.contiguous(), seen) for column, seen in columns], dim=1)
        return torch.cat([scaled, torch.where(known, 2 * ranks - 1, 0.0), known.double()], dim=1).float()

    @cached_property
    def _sorted(self) -> list[Float[Tensor, " n"]]:
        return [column[~column.isnan()].sort().values for column in self.rows.values.T]

    def check(self, wanted: Mapping[str, float]) -> None:
        """Warn of a value outside the training range.

        Raises:
            ConfigError: an unknown name, or a value further outside the range than the range is wide.
        """
        for name, value in wanted.items():
            if name not in self.names:
                hint = did_you_mean(name, self.names)
                raise ConfigError(f"unknown condition {name!r}{hint}; this model knows {', '.join(self.names)}")
            _check_range(name, value, self.rows.values[:, self.names.index(name)])

    def alike(self, wanted: Mapping[str, float]) -> Int64[Tensor, " m"]:
        """Return the training rows most like what is wanted: one in twenty, and their equals; all where nothing is.

        What is compared are ranks among the training rows, so that where lesions are skewed or absent in many, a small
        one is not taken for none.
        """
        away = torch.zeros(len(self.rows), dtype=torch.float64)
        for name, value in wanted.items():
            k = self.names.index(name)
            numbers, known = self.rows.values[:, k].contiguous(), self._sorted[k]
            gaps = _ranks(numbers, known) - _ranks(torch.tensor([value]).to(known), known)
            away += torch.where(numbers.isnan(), math.inf, gaps.square())
        nearest = away.kthvalue(math.ceil(len(away) * ALIKE)).values
        return (away <= nearest * (1 + ROUNDING)).nonzero().flatten()

    def request(self, wanted: Mapping[str, float], values: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Return the rows with the wanted numbers in place of their own; ``check`` them first."""
        changed = values.clone()
        for name, value in wanted.items():
            changed[:, self.names.index(name)] = value
        return changed

    def tensors(self) -> dict[str, Tensor]:
        """Return what is saved with a model; a missing number becomes 0 with ``known`` false."""
        known = ~self.rows.values.isnan()
        values = torch.where(known, self.rows.values, 0.0)
        return {"values": values, "known": known, "mean": self.mean, "deviation": self.deviation}


def restore_conditioner(names: tuple[str, ...], tensors: Mapping[str, Tensor]) -> Conditioner:
    """Return what ``tensors`` described; a KeyError or DataError says that it is not whole."""
    values = torch.where(tensors["known"], tensors["values"], math.nan)
    return Conditioner(Conditions(names, values), tensors["mean"], tensors["deviation"])


def measure_conditions(rows: Conditions, patients: Int64[Tensor, " n"]) -> Conditioner:
    """Return the scale on which these training slices' numbers have mean 0 and deviation 1, each patient counting once.

    Raises:
        DataError: a condition is known of no patient, or is the same for all of them.
    """
    moments = [_moments(name, rows.values[:, k].double(), patients) for k, name in enumerate(rows.names)]
    mean, deviation = torch.tensor(moments, dtype=torch.float64).T
    return Conditioner(rows, mean.contiguous(), deviation.contiguous())


def _ranks(values: Float[Tensor, " m"], known: Float[Tensor, " n"]) -> Float64[Tensor, " m"]:
    """Return the share of sorted numbers below each value, with half of those equal to it."""
    ends = torch.searchsorted(known, values), torch.searchsorted(known, values, right=True)
    return (ends[0] + ends[1]).double() / (2 * len(known))


def _check_range(name: str, value: float, seen: Float[Tensor, " n"]) -> None:
    low, high = (float(end) for end in seen[~seen.isnan()].aminmax())
    words = f"condition {name} was in [{low:.6g}, {high:.6g}] in training, but got {value:.6g}"
    if not 2 * low - high <= value <= 2 * high - low:  # NaN is not
        raise ConfigError(f"{words}; ask for a value in or near that range")
    if not low <= value <= high:
        logger.warning("%s: the model extrapolates", words)


def _moments(name: str, values: Float64[Tensor, " n"], patients: Int64[Tensor, " n"]) -> tuple[float, float]:
    known = ~values.isnan()
    if not bool(known.any()):
        raise DataError(f"condition {name} must be known of some training patient, but is missing for all")
    _, owner, sizes = torch.unique(patients[known], return_inverse=True, return_counts=True)
    weight = 1 / (sizes[owner].double() * len(sizes))
    mean = float((weight * values[known]).sum())
    deviation = math.sqrt(float((weight * (values[known] - mean).square()).sum()))
    if float(values[known].max()) == float(values[known].min()):
        raise DataError(f"condition {name} must differ between training slices, but is {mean:.6g} for all")
    return mean, deviation
