"""Do label maps agree? Dice per class and patient, and the share of pixels that each class takes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from evaluation.intervals import cluster_error, combine_errors, mean_interval, number_groups, symmetric_interval
from evaluation.types import Direction, MetricResult

Maps = UInt8[Tensor, "n h w"]
Groups = Int64[Tensor, " n"]


def dice_scores(truth: Maps, found: Maps, groups: Groups, *, classes: int) -> Float64[np.ndarray, "g k"]:
    """Return 2 |A and B| / (|A| + |B|) of each patient, over all slices at once, and class 1..classes.

    A class that a patient has in neither map is NaN: it was never put to the test.

    >>> import torch
    >>> truth, found = torch.tensor([[[1, 1, 0, 0]]]).byte(), torch.tensor([[[1, 0, 0, 0]]]).byte()
    >>> dice_scores(truth, found, torch.tensor([0]), classes=2)  # 2 x 1 / (2 + 1); class 2 is in neither
    array([[0.66666667,        nan]])
    """
    _check(truth, groups)
    if truth.shape != found.shape:
        raise ValueError(f"label maps must have one shape, but got {tuple(truth.shape)} and {tuple(found.shape)}")
    _, index = np.unique(groups.cpu().numpy(), return_inverse=True)
    shared, sizes = (np.zeros((index.max() + 1, classes)) for _ in range(2))
    for kind in range(1, classes + 1):
        inside, drawn = truth == kind, found == kind
        np.add.at(shared[:, kind - 1], index, (inside & drawn).sum((1, 2)).cpu().numpy())
        np.add.at(sizes[:, kind - 1], index, (inside.sum((1, 2)) + drawn.sum((1, 2))).cpu().numpy())
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is wanted
        return np.asarray(2 * shared / sizes)


def label_dice(
    truth: Maps, found: Maps, groups: Groups, *, names: Sequence[str], level: float = 0.95, seed: int = 0
) -> tuple[MetricResult, ...]:
    """Average each class's Dice over the patients who have it, ``dice_<class>``; those without are counted.

    Args:
        truth: the label maps that are right.
        found: of the same slices, row by row.
        groups: the patient of each slice.
        names: of classes 1, 2, ...
        level: of the interval, which resamples patients.
        seed: of the resampling.
    """
    scores = dice_scores(truth, found, groups, classes=len(names))
    return tuple(
        average_patients(f"dice_{name}", column, direction="higher", level=level, seed=seed)
        for name, column in zip(names, scores.T, strict=True)
    )


def average_patients(
    name: str, scores: Float64[np.ndarray, " g"], *, direction: Direction, level: float, seed: int = 0
) -> MetricResult:
    """Average one score per patient; patients whose score is NaN are left out and counted in the note."""
    kept = scores[~np.isnan(scores)]
    limits = mean_interval(kept, np.arange(len(kept)), level=level, seed=seed) if len(kept) > 1 else None
    absent = len(scores) - len(kept)
    return MetricResult(
        name=name,
        point=float(kept.mean()) if len(kept) else float("nan"),
        low=limits.low if limits else None,
        high=limits.high if limits else None,
        level=level,
        interval=limits.method if limits else f"none: {len(kept)} patients with a score",
        n={"patients": len(kept), "without_score": absent},
        extractor=None,
        direction=direction,
        note=f"{absent} of {len(scores)} patients have nothing to compare and are left out" if absent else None,
    )


def label_shares(
    labels: Maps, groups: Groups, *, names: Sequence[str], level: float = 0.95, seed: int = 0
) -> tuple[MetricResult, ...]:
    """Average the share of a slice's pixels that each class takes, ``share_<class>``; the interval resamples patients.

    Args:
        labels: 0 background, 1.. classes.
        groups: the patient of each slice; generated slices stand for themselves.
        names: of classes 1, 2, ...
        level: of the interval.
        seed: of the resampling.
    """
    results = []
    for name, shares in zip(names, _shares(labels, groups, len(names)), strict=True):
        limits = mean_interval(shares, groups.cpu().numpy(), level=level, seed=seed)
        results.append(
            _share(f"share_{name}", float(shares.mean()), limits.low, limits.high, level, limits.method, _n(groups))
        )
    return tuple(results)


def share_gaps(
    real: Maps,
    real_groups: Groups,
    generated: UInt8[Tensor, "m h w"],
    generated_groups: Int64[Tensor, " m"],
    *,
    names: Sequence[str],
    level: float = 0.95,
) -> tuple[MetricResult, ...]:
    """Return each class's share in generated slices less that in real ones, ``share_gap_<class>``; 0 is the goal."""
    n = {
        f"{side}_{key}": value
        for side, groups in (("real", real_groups), ("generated", generated_groups))
        for key, value in _n(groups).items()
    }
    ours, theirs = _shares(generated, generated_groups, len(names)), _shares(real, real_groups, len(names))
    results = []
    for name, first, second in zip(names, ours, theirs, strict=True):
        point = float(first.mean() - second.mean())
        error = combine_errors(
            cluster_error(first, generated_groups.cpu().numpy()), cluster_error(second, real_groups.cpu().numpy())
        )
        limits = symmetric_interval(point, error, level=level, method="difference -+ t x error of both, per patient")
        results.append(_share(f"share_gap_{name}", point, limits.low, limits.high, level, limits.method, n))
    return tuple(results)


def _share(
    name: str, point: float, low: float, high: float, level: float, interval: str, n: dict[str, int]
) -> MetricResult:
    note = "share of a slice's pixels; as in real slices is the goal, neither less nor more"
    return MetricResult(name, point, low, high, level, interval, n, None, None, note)


def _shares(labels: Maps, groups: Groups, classes: int) -> tuple[Float64[np.ndarray, " n"], ...]:
    _check(labels, groups)
    return tuple((labels == kind).double().mean((1, 2)).cpu().numpy() for kind in range(1, classes + 1))


def _check(labels: Maps, groups: Groups) -> None:
    if len(labels) == 0 or labels.ndim != 3:
        raise ValueError(f"label maps must be filled (n, row, column), but got shape {tuple(labels.shape)}")
    if groups.shape != (len(labels),):
        raise ValueError(f"groups must name the patient of each of the {len(labels)} maps, but got {len(groups)}")


def _n(groups: Groups) -> dict[str, int]:
    return {"slices": len(groups), "patients": number_groups(groups.cpu().numpy())[1]}
