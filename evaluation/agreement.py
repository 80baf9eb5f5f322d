"""Do two extractors order the variants of a study alike? Kendall's tau-b, and every pair they order differently.

A Frechet distance depends on the network behind it. A ranking that turns around with the network is no
finding, unless the intervals on both sides say that it is.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import stats

from evaluation.types import MetricResult

Results = Mapping[str, Mapping[str, MetricResult]]


@dataclass(frozen=True)
class Disagreement:
    """Two variants that the extractors order differently, and whether each can tell them apart.

    Attributes:
        better: the better variant by the first extractor; the worse by the second.
        worse: the other.
        first_can_tell: whether the intervals of the first extractor do not overlap.
        second_can_tell: the same for the second.
    """

    better: str
    worse: str
    first_can_tell: bool
    second_can_tell: bool

    @property
    def is_real(self) -> bool:
        """Say whether both extractors are sure, and of opposite things."""
        return self.first_can_tell and self.second_can_tell


@dataclass(frozen=True)
class Agreement:
    """How alike two extractors order the variants.

    Attributes:
        extractors: the first and the second.
        variants: those that both measured.
        tau: Kendall's tau-b in [-1, 1]; None where there is no order to compare.
        disagreements: the pairs that are ordered differently.
        tied: pairs that one extractor at least does not order.
        words: all this as sentences.
    """

    extractors: tuple[str, str]
    variants: tuple[str, ...]
    tau: float | None
    disagreements: tuple[Disagreement, ...]
    tied: int
    words: str


def rank_agreement(results: Results, first: str, second: str) -> Agreement:
    """Compare the orders that two extractors give to the variants, best first.

    Args:
        results: by variant, then by extractor: one metric's result.
        first: name of one extractor.
        second: name of the other.
    """
    variants = tuple(name for name, found in results.items() if {first, second} <= found.keys())
    sides = [[results[name][extractor] for name in variants] for extractor in (first, second)]
    for extractor, side in zip((first, second), sides, strict=True):
        _check_side(extractor, side)
    scores = [np.array([_score(each) for each in side]) for side in sides]
    found, tied = _compare_pairs(variants, sides, scores)
    tau = _tau(*scores)
    words = _describe((first, second), len(variants), tau, found, tied)
    return Agreement((first, second), variants, tau, found, tied, words)


def can_tell(one: MetricResult, other: MetricResult) -> bool:
    """Say whether two intervals do not overlap: stricter than an interval of the difference, and safe."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    if any(math.isnan(end) for end in (one.low, one.high, other.low, other.high)):
        return False
    return one.high < other.low or other.high < one.low


def _score(result: MetricResult) -> float:
    """Turn a value so that higher is better."""
    return result.point if result.direction == "higher" else -result.point


def _check_side(extractor: str, side: list[MetricResult]) -> None:
    directions = {result.direction for result in side}
    if len(directions) > 1 or None in directions:
        raise ValueError(f"all results of {extractor} must be of one metric that is better low or high")
    undefined = sum(math.isnan(result.point) for result in side)
    if undefined:
        raise ValueError(f"every variant must have a value, but {undefined} of {extractor} have none (NaN)")


def _tau(first: Float64[np.ndarray, " n"], second: Float64[np.ndarray, " n"]) -> float | None:
    if len(first) < 2:
        return None
    tau = float(stats.kendalltau(first, second, variant="b").statistic)
    return None if math.isnan(tau) else tau


def _compare_pairs(
    variants: tuple[str, ...],
    sides: list[list[MetricResult]],
    scores: list[Float64[np.ndarray, " n"]],
) -> tuple[tuple[Disagreement, ...], int]:
    found, tied = [], 0
    for a, b in itertools.combinations(range(len(variants)), 2):
        orders = [float(np.sign(score[a] - score[b])) for score in scores]
        tied += 0 in orders
        if orders[0] * orders[1] < 0:
            better, worse = (a, b) if orders[0] > 0 else (b, a)
            sure = [can_tell(side[a], side[b]) for side in sides]
            found.append(Disagreement(variants[better], variants[worse], *sure))
    return tuple(found), tied


def _describe(
    extractors: tuple[str, str], count: int, tau: float | None, found: tuple[Disagreement, ...], tied: int
) -> str:
    first, second = extractors
    if count < 2:
        return f"{count} variants measured by both {first} and {second}: there is no order to compare."
    pairs = count * (count - 1) // 2
    ties = f" {tied} of them are tied for one extractor at least." if tied else ""
    if tau is None:
        return f"{first} or {second} gives all {count} variants one value: there is no order to compare.{ties}"
    meaning = f"(tau-b {tau:+.2f}: {_name(tau)})"
    head = f"{first} and {second} order {len(found)} of {pairs} pairs of variants differently {meaning}.{ties}"
    return " ".join([head, *(_explain(extractors, each) for each in found)])


def _name(tau: float) -> str:
    """Say what a tau-b means: the share of pairs ordered alike less that of pairs ordered differently."""
    if math.isclose(tau, 1):
        return "the same order"
    if math.isclose(tau, -1):
        return "the reverse order"
    if abs(tau) < 0.2:
        return "hardly any common order"
    strength = "mostly" if abs(tau) >= 0.6 else "partly"
    return f"{strength} the {'same' if tau > 0 else 'reverse'} order"


def _explain(extractors: tuple[str, str], pair: Disagreement) -> str:
    first, second = extractors
    head = f"{first} puts {pair.better!r} before {pair.worse!r}, {second} after it:"
    if pair.is_real:
        return f"{head} both are sure, so the answer depends on the network."
    if pair.first_can_tell or pair.second_can_tell:
        sure, unsure = (first, second) if pair.first_can_tell else (second, first)
        return f"{head} only {sure} tells them apart, the intervals of {unsure} overlap."
    return f"{head} neither can tell, all intervals overlap, so there is no contradiction."
