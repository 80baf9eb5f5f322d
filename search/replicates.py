"""Seeds are the replicates: what settings differ by, and how much trainings of one setting differ by themselves.

Every setting is trained with the same seeds, and all are held against the same patients: a randomized block design
whose blocks are seeds. The error of a difference has two parts that add. Seeds: with two or three of them a pair's own
spread has hardly any degrees of freedom, so that the residual spread of all settings is used, what setting and seed
explain taken out (Montgomery 2017, "Design and Analysis of Experiments", section 4.1), or the pair's own where that is
larger, for one setting may be less steady than the rest. Patients: what each contributes to the difference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from evaluation import METRICS, Difference, MetricResult, adjust
from evaluation.difference import Pair
from evaluation.intervals import StandardError, cluster_error, combine_errors, symmetric_interval
from evaluation.metric import Metric

Cells = Mapping[str, Mapping[str, MetricResult]]
"""One metric by setting and seed."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What each real slice contributes to a metric, by setting and seed, and whose slice it is."""

    influence: Mapping[str, Mapping[str, Float64[np.ndarray, " n"]]]
    groups: Int64[np.ndarray, " n"]


def compare_cells(cells: Cells, baseline: str, reference: Reference | None = None) -> dict[str, Difference]:
    """Return each setting less the baseline over shared seeds, p adjusted after Holm over all of them.

    One shared seed tells nothing of another training, so that its difference has neither interval nor p.

    Args:
        cells: one metric by setting and seed.
        baseline: the setting that all others are compared with; where it is missing, nothing is compared.
        reference: of the same runs; without it both sides' sampling errors are taken as independent, which is cautious.
    """
    others = [label for label in cells if label != baseline] if cells.get(baseline) else []
    residual = residual_error({label: {seed: each.point for seed, each in row.items()} for label, row in cells.items()})
    found = [_compare(label, baseline, cells, residual, reference) for label in others]
    return dict(zip(others, adjust(found), strict=True))


def residual_error(points: Mapping[str, Mapping[str, float]]) -> StandardError | None:
    """Return the standard deviation of one training about what its setting and its seed explain; None without freedom.

    Settings whose points are all alike to another's are one training and count once.
    """
    rows = list({tuple(sorted(row.items())): row for row in points.values()}.values())
    runs = [(at, seed, point) for at, row in enumerate(rows) for seed, point in row.items()]
    seeds = sorted({seed for _, seed, _ in runs})
    design = np.zeros((len(runs), len(rows) + len(seeds)))
    for index, (at, seed, _) in enumerate(runs):
        design[index, [at, len(rows) + seeds.index(seed)]] = 1.0
    values = np.array([point for _, _, point in runs])
    freedom = len(runs) - int(np.linalg.matrix_rank(design)) if runs else 0
    if freedom < 1 or not np.isfinite(values).all():
        return None
    rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return StandardError(math.sqrt(float(rest @ rest) / freedom), float(freedom))


def over_seeds(results: Sequence[MetricResult]) -> MetricResult:
    """Return the mean over seeds; seeds add their spread, but the patients, shared by all, do not average out.

    Half the width is the root of both halves' squares, each at its own degrees of freedom (Howe 1974, "Approximate
    Confidence Limits on the Mean of X + Y"). One seed keeps its own interval.
    """
    first = results[0]
    if len(results) == 1 or first.low is None:
        return first
    point = float(np.mean([each.point for each in results]))
    parts = _spread([each.point for each in results]), _sampling(results)
    reach = math.hypot(*(symmetric_interval(0.0, part, level=first.level, method="").high for part in parts))
    method = f"{first.interval}; and the spread of {len(results)} seeds"
    least, most = _metric(first).bounds
    return replace(first, point=point, low=max(point - reach, least), high=min(point + reach, most), interval=method)


def _compare(
    label: str, baseline: str, cells: Cells, residual: StandardError | None, reference: Reference | None
) -> Difference:
    mine, base = cells[label], cells[baseline]
    seeds = sorted(mine.keys() & base.keys())
    sides = [mine[seed] for seed in seeds], [base[seed] for seed in seeds]
    one = (sides[0] or list(mine.values()))[0]
    n = {"seeds": len(seeds)} | {key: count for key, count in one.n.items() if key == "real_patients"}
    pair = Pair(one.name, _metric(one).direction, (label, baseline), n, one.level, paired=True, extractor=one.extractor)
    gaps = [first.point - second.point for first, second in zip(*sides, strict=True)]
    if gaps and not any(gaps):
        return pair.identical()
    if len(gaps) < 2 or residual is None:
        return pair.unknown(float(np.mean(gaps)) if gaps else math.nan, f"{_count(gaps)} cannot tell")
    known = reference and reference.influence.keys() >= {label, baseline}
    if not known and any(each.low is None for side in sides for each in side):
        return pair.unknown(float(np.mean(gaps)), "the metric has no interval")
    patients = (
        _patients(reference, label, baseline, seeds) if reference and known else combine_errors(*map(_sampling, sides))
    )
    both = combine_errors(_seeds(gaps, residual), patients)
    # no more freedom than the seeds have: where they agree by chance, Satterthwaite's rule would take it for known
    error = StandardError(both.value, min(residual.freedom, both.freedom))
    return pair.differ(float(np.mean(gaps)), error, _method(gaps, residual, cautious=not known))


def _metric(result: MetricResult) -> Metric[Any]:
    return METRICS[result.name.removesuffix(f"_{result.extractor}")]


def _seeds(gaps: Sequence[float], residual: StandardError) -> StandardError:
    pooled = residual.value * math.sqrt(2 / len(gaps))
    return StandardError(max(pooled, _spread(gaps).value), residual.freedom)


def _patients(reference: Reference, label: str, baseline: str, seeds: Sequence[str]) -> StandardError:
    mine, base = (reference.influence[each] for each in (label, baseline))
    return cluster_error(np.mean([mine[seed] - base[seed] for seed in seeds], axis=0), reference.groups)


def _method(gaps: Sequence[float], residual: StandardError, *, cautious: bool) -> str:
    patients = "both sides' sampling errors taken as independent" if cautious else "influence summed per shared patient"
    return (
        f"mean difference over {_count(gaps)} -+ t x error: residual spread over settings and seeds"
        f" ({residual.freedom:g} degrees of freedom) or the pair's own where larger; {patients}"
    )


def _count(gaps: Sequence[float]) -> str:
    return "1 seed" if len(gaps) == 1 else f"{len(gaps) or 'no shared'} seeds"


def _spread(values: Sequence[float]) -> StandardError:
    return StandardError(float(np.std(values, ddof=1)) / math.sqrt(len(values)), len(values) - 1.0)


def _sampling(results: Sequence[MetricResult]) -> StandardError:
    """Return the error one seed's interval tells of, averaged over seeds in variance."""
    freedom = max(1.0, results[0].n["real_patients"] - 1.0)
    z = symmetric_interval(0.0, StandardError(1.0, freedom), level=results[0].level, method="").high
    halves = [(float(each.high or 0) - float(each.low or 0)) / 2 for each in results]
    return StandardError(float(np.sqrt(np.mean(np.square(halves)))) / z, freedom)
