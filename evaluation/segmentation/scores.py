"""How well a segmenter does on each test patient: Dice, IoU, HD95 and lesions found, per class."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8
from scipy import ndimage
from torch import Tensor

from evaluation.label_agreement import dice_scores
from evaluation.segmentation.types import LabelledSet, Score

EIGHT_NEIGHBORS = np.ones((3, 3), dtype=bool)
ALL_CLASSES = "all classes"
Mask = Bool[np.ndarray, "h w"]
Masks = Bool[np.ndarray, "n h w"]
Spacing = Float[np.ndarray, "n 2"]


def score_patients(
    truth: LabelledSet,
    found: UInt8[Tensor, "n h w"],
    *,
    arm: str,
    fraction: float,
    seed: int,
    lesions: Sequence[str] = (),
) -> tuple[Score, ...]:
    """Return Dice, IoU and HD95 of each patient and class, and ``lesion_f1`` of classes named as lesions.

    Dice and IoU are taken over all slices of a patient at once. HD95 is the mean over slices that show the class in
    both maps, in mm where the spacing is known (``hd95_mm``), else in pixels (``hd95_px``). A class that a patient has
    in neither map is NaN in every metric; one that is in only one map has Dice 0 and no HD95.

    Args:
        truth: the label maps that are right.
        found: of the same slices, row by row.
        arm: what the segmenter was trained on.
        fraction: share of the training patients it was allowed.
        seed: of its training.
        lesions: classes of which separate spots are counted.
    """
    dice = dice_scores(truth.labels, found, truth.groups, classes=len(truth.names))
    patients = np.unique(truth.groups.numpy())
    rows = []
    for place, patient in enumerate(patients):
        mine = (truth.groups == int(patient)).numpy()
        spacing = None if truth.spacing_mm is None else truth.spacing_mm.numpy()[mine]
        for number, name in enumerate(truth.names, start=1):
            one, two = (maps.numpy()[mine] == number for maps in (truth.labels, found))
            value = float(dice[place, number - 1])
            metrics = {"dice": value, "iou": value / (2 - value), **_surface(one, two, spacing)}
            if name in lesions:
                metrics["lesion_f1"] = lesion_f1(one, two)
            rows += [Score(arm, fraction, seed, int(patient), name, metric, each) for metric, each in metrics.items()]
    return tuple(rows)


def hausdorff95(one: Mask, two: Mask, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
    """Return the larger of the two directed 95th percentiles of distances between edges; NaN where a mask is empty.

    An edge is the mask without its erosion, as in MONAI's ``compute_hausdorff_distance``.
    """
    if not (one.any() and two.any()):
        return float("nan")
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (one, two)]
    away = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return float(max(np.percentile(away[1][edges[0]], 95), np.percentile(away[0][edges[1]], 95)))


def lesion_f1(truth: Masks, found: Masks) -> float:
    """Return 2 TP / (2 TP + FP + FN) over the spots of all slices; NaN where there are none in either map.

    Spots are pixels that touch at a side or corner. A true spot is found if one pixel of it is; a found spot is false
    if none of its pixels is true.
    """
    hit = missed = false = 0
    for one, two in zip(truth, found, strict=True):
        seen, count = _hits(one, two)
        hit, missed = hit + seen, missed + count - seen
        right, spots = _hits(two, one)
        false += spots - right
    return 2 * hit / (2 * hit + missed + false) if hit + missed + false else float("nan")


def _hits(spots: Mask, other: Mask) -> tuple[int, int]:
    """Return how many spots the other mask touches, and how many there are."""
    labels, count = ndimage.label(spots, structure=EIGHT_NEIGHBORS)
    return len(np.unique(labels[spots & other])), int(count)


def _surface(one: Masks, two: Masks, spacing: Spacing | None) -> dict[str, float]:
    apart = np.ones((len(one), 2)) if spacing is None else spacing
    distances = np.array(list(_distances(one, two, apart)))
    return {"hd95_px" if spacing is None else "hd95_mm": float(distances.mean()) if len(distances) else float("nan")}


def _distances(one: Masks, two: Masks, spacing: Spacing) -> Iterator[float]:
    for first, second, (rows, columns) in zip(one, two, spacing, strict=True):
        if first.any() and second.any():
            yield hausdorff95(first, second, (float(rows), float(columns)))


def average_classes(scores: Sequence[Score], metric: str) -> tuple[Score, ...]:
    """Return one score more for each patient and training: the mean of a metric over all classes, if all are defined.

    Where there is but one class there is nothing to average, and none is returned.
    """
    rows: dict[tuple[str, float, int, int], list[float]] = {}
    for score in scores:
        if score.metric == metric:
            rows.setdefault((score.arm, score.fraction, score.seed, score.patient), []).append(score.value)
    return tuple(
        Score(*key, ALL_CLASSES, metric, float(np.mean(values))) for key, values in rows.items() if len(values) > 1
    )


def table_of(scores: Sequence[Score]) -> tuple[Float64[np.ndarray, "p s"], tuple[int, ...]]:
    """Return scores of one arm, fraction, class and metric as patients x seeds, and the patients; gaps are NaN."""
    patients = sorted({score.patient for score in scores})
    seeds = sorted({score.seed for score in scores})
    values = np.full((len(patients), len(seeds)), np.nan)
    for score in scores:
        values[patients.index(score.patient), seeds.index(score.seed)] = score.value
    return values, tuple(patients)
