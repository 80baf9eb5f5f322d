"""The Frechet distance of the populations, not of this n: which estimator may speak, and when none may."""

import math
from dataclasses import dataclass

import numpy as np

from evaluation.contrast import contrast_influence
from evaluation.debiased import debiased_influence
from evaluation.fidelity import measure_side
from evaluation.influence import Influence
from evaluation.intervals import check_level, number_groups, symmetric_interval
from evaluation.metric import Metric, register
from evaluation.types import FeatureSet, MetricResult, check_pair, counts

FEWEST_PATIENTS = 16


@dataclass(frozen=True)
class Ground:
    """How many effective rows an estimator needs: a share of the features, and never fewer than so many."""

    share: float
    fewest: int

    def rows(self, width: int) -> float:
        """Return the least effective rows at a width."""
        return max(self.share * width, float(self.fewest))


NEEDS = {"SFD": Ground(0.8, 30), "SC-FD": Ground(0.25, 80)}  # where both cover in `benchmarks/coverage.py`


@dataclass(frozen=True)
class Estimator:
    """The estimator that these samples allow, or in words why none is; exactly one is given."""

    name: str | None
    refusal: str | None

    def influence(self, real: FeatureSet, generated: FeatureSet, *, seed: int = 0) -> Influence:
        """Return its estimate with each row's influence."""
        if self.name is None:
            raise ValueError(f"no estimator of the population's distance covers here: {self.refusal}")
        if self.name == "SFD":
            return debiased_influence(real, generated)
        return contrast_influence(real, generated, seed=seed)


def population_distance(real: FeatureSet, generated: FeatureSet, *, level: float = 0.95, seed: int = 0) -> MetricResult:
    """Estimate the Frechet distance of the two populations, free of the bias that small n adds.

    SFD where the smaller side has at least 0.8 d effective rows, SC-FD from 0.25 d (see `NEEDS`); below
    that no interval tried covers, so the value is NaN and `interval` says why: report the kernel distance.
    May be negative where the populations agree.

    >>> rng = np.random.default_rng(0)
    >>> few, other = (FeatureSet(rng.standard_normal((40, 1280)), np.arange(40), "toy") for _ in range(2))
    >>> print(population_distance(few, other).interval)
    refused: 40 effective rows are fewer than the 320 that 1280 features need; see the kernel distance
    """
    check_pair(real, generated)
    check_level(level)
    estimator = choose_estimator(real, generated)
    point, low, high, words = math.nan, None, None, f"refused: {estimator.refusal}"
    if estimator.name is not None:
        influence = estimator.influence(real, generated, seed=seed)
        words = f"{estimator.name} of the populations -+ t x influence-function error summed per patient"
        limits = symmetric_interval(influence.point, influence.error(real, generated), level=level, method=words)
        point, low, high = influence.point, limits.low, limits.high
    return MetricResult(
        name=f"population_fd_{real.extractor}",
        point=point,
        low=low,
        high=high,
        level=level,
        interval=words,
        n=counts(real, generated),
        extractor=real.extractor,
        direction="lower",
        note="the distance of the populations, comparable across n; may be negative where they agree",
    )


register(
    Metric(
        name="population_fd",
        direction="lower",
        on="features",
        on_itself=None,
        bounds=(-np.inf, np.inf),
        symmetric=True,
        unbiased=True,
        measure=population_distance,
    )
)


def choose_estimator(*sets: FeatureSet) -> Estimator:
    """Return what the smallest of these samples allows."""
    patients = min(number_groups(each.groups)[1] for each in sets)
    if patients < FEWEST_PATIENTS:
        return Estimator(None, f"{patients} patients are fewer than {FEWEST_PATIENTS}; see the kernel distance")
    rows, width = min(effective_rows(each) for each in sets), sets[0].width
    needed = {name: ground.rows(width) for name, ground in NEEDS.items()}
    for name, least in needed.items():
        if rows >= least:
            return Estimator(name, None)
    least = min(needed.values())
    words = f"{rows:.0f} effective rows are fewer than the {least:.0f} that {width} features need"
    return Estimator(None, f"{words}; see the kernel distance")


def effective_rows(features: FeatureSet) -> float:
    """Return how many independent rows these are worth: n over Kish's design effect, never above n."""
    side = measure_side(features.rows, features.groups)
    return len(features) / max(1.0, side.crowding)
