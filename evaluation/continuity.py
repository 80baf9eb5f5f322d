"""Do the slices of a volume hang together? What neighbors share, averaged over volumes.

Neither end is the goal: independent slices share too little, one slice repeated shares all. The goal is what
neighbors in real volumes share at the same distance, so the distance is stated and gaps are no neighbors.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from evaluation.label_agreement import average_patients, dice_scores
from evaluation.similarity import ssim_map
from evaluation.types import Direction, ImageSet, MetricResult

TOLERANCE = 0.25  # of the step: patients differ in their number of slices, but a missing slice is a gap
BATCH = 64  # pairs whose maps are held at once
Rows = Int64[Tensor, " _"]
Scores = Float64[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class Volumes:
    """The slices of several volumes, in any order.

    Attributes:
        images: in [0, 1], each with the number of its volume.
        labels: 0 background, 1.. classes.
        positions: of each slice along the slice axis, in one unit for all volumes.
        classes: how many there are without the background; 0 where nothing is labelled.
    """

    images: ImageSet
    labels: UInt8[Tensor, "n h w"]
    positions: Float[Tensor, " n"]
    classes: int

    def __post_init__(self) -> None:
        shape = (len(self.images), *self.images.images.shape[-2:])
        if tuple(self.labels.shape) != shape or len(self.positions) != len(self.images):
            raise ValueError(
                f"each slice needs a label map and a position, but got labels of shape {tuple(self.labels.shape)}"
                f" and {len(self.positions)} positions for images of shape {shape}"
            )

    @property
    def rows(self) -> tuple[Rows, ...]:
        """Return the rows of each volume, first slice to last."""
        places = self.positions.double()
        found = [(self.images.groups == volume).nonzero().flatten() for volume in torch.unique(self.images.groups)]
        return tuple(rows[places[rows].argsort()] for rows in found)

    @property
    def step(self) -> float:
        """Return the usual distance between neighbors, the median over all volumes."""
        gaps = torch.cat([self.positions[rows].double().diff() for rows in self.rows])
        if len(gaps) == 0:
            raise ValueError("neighbors need a volume of 2 slices or more, but every volume has one")
        return float(gaps.median())


def continuity(volumes: Volumes, *, step: float | None = None, level: float = 0.95) -> tuple[MetricResult, ...]:
    """Return ``neighbor_ssim``, ``neighbor_error`` (mean absolute difference) and ``neighbor_dice`` of the labels.

    Each is averaged over the pairs of a volume, then over volumes; the interval resamples volumes.

    Args:
        volumes: whose slices to compare.
        step: distance at which two slices are neighbors, in the unit of the positions; by default the usual one.
        level: of the intervals.
    """
    return _measure(volumes, *neighbors(volumes, step=volumes.step if step is None else step), level=level)


def independent_continuity(
    volumes: Volumes, *, step: float | None = None, level: float = 0.95
) -> tuple[MetricResult, ...]:
    """Return the same where each slice's neighbor is taken from another volume at an equal position.

    It is what slices that know nothing of each other would share: the floor that coherence has to leave.
    """
    step = volumes.step if step is None else step
    return _measure(volumes, *_borrow(volumes, *neighbors(volumes, step=step), step=step), level=level)


def neighbors(volumes: Volumes, *, step: float) -> tuple[Rows, Rows]:
    """Return the rows of each slice and of the one that lies this far from it, within a quarter of the step."""
    if not step > 0:
        raise ValueError(f"neighbors must lie more than 0 apart, but got {step=}")
    pairs = []
    for rows in volumes.rows:
        places = volumes.positions[rows].double()
        missed, nearest = (places[None, :] - places[:, None] - step).abs().min(1)
        pairs.append(torch.stack([rows, rows[nearest]])[:, missed <= TOLERANCE * step])
    first, second = torch.cat(pairs, dim=1)
    return first, second


def _borrow(volumes: Volumes, first: Rows, second: Rows, *, step: float) -> tuple[Rows, Rows]:
    """Replace each second slice by the nearest of the next volume; where none is within half a step, drop the pair."""
    rows, places = volumes.rows, volumes.positions.double()
    if len(rows) < 2:
        raise ValueError(f"slices can be borrowed among 2 volumes or more, but there is {len(rows)}")
    follower = {int(volumes.images.groups[some[0]]): rows[(each + 1) % len(rows)] for each, some in enumerate(rows)}
    kept, borrowed = [], []
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        strangers = follower[int(volumes.images.groups[one])]
        distance = (places[strangers] - places[other]).abs()
        if float(distance.min()) <= step / 2:
            kept.append(one)
            borrowed.append(int(strangers[distance.argmin()]))
    return torch.tensor(kept, dtype=torch.int64), torch.tensor(borrowed, dtype=torch.int64)


def _measure(volumes: Volumes, first: Rows, second: Rows, *, level: float) -> tuple[MetricResult, ...]:
    if len(first) == 0:
        raise ValueError("some slices must lie one step apart, but none do; check positions and step")
    measures: list[tuple[str, Direction, Callable[[Volumes, Rows, Rows], Scores]]] = [
        ("neighbor_ssim", "higher", _similarity),
        ("neighbor_error", "lower", _error),
    ]
    if volumes.classes:
        measures.append(("neighbor_dice", "higher", _dice))
    owners = np.unique(volumes.images.groups[first].cpu().numpy(), return_inverse=True)[1]
    results = []
    for name, direction, score in measures:
        averages = _average_pairs(score(volumes, first, second), owners)
        result = average_patients(name, averages, direction=direction, level=level)
        n = {"volumes": result.n["patients"], "pairs": len(first)}
        results.append(replace(result, n=n, note="as in real volumes is the goal, neither less nor more"))
    return tuple(results)


def _similarity(volumes: Volumes, first: Rows, second: Rows) -> Scores:
    """Return the mean structural similarity of each pair."""
    images = volumes.images.images.double()
    parts = zip(torch.split(first, BATCH), torch.split(second, BATCH), strict=True)
    maps = [ssim_map(images[one], images[other]).mean((1, 2, 3)) for one, other in parts]
    return np.asarray(torch.cat(maps).cpu().numpy())


def _error(volumes: Volumes, first: Rows, second: Rows) -> Scores:
    """Return the mean absolute difference of each pair; intensities span 1."""
    images = volumes.images.images.double()
    return np.asarray((images[first] - images[second]).abs().mean((1, 2, 3)).cpu().numpy())


def _dice(volumes: Volumes, first: Rows, second: Rows) -> Scores:
    """Return the mean Dice of each pair over the classes that either slice shows; NaN where they show none."""
    each = dice_scores(volumes.labels[first], volumes.labels[second], torch.arange(len(first)), classes=volumes.classes)
    return _average_pairs(each.ravel(), np.repeat(np.arange(len(first)), volumes.classes))


def _average_pairs(scores: Scores, owners: Int64[np.ndarray, " _"]) -> Scores:
    """Average the scores of each owner, NaN left out; an owner of none is NaN."""
    told = ~np.isnan(scores)
    sums = np.bincount(owners[told], weights=scores[told], minlength=owners.max() + 1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is wanted
        return np.asarray(sums / np.bincount(owners[told], minlength=owners.max() + 1))
