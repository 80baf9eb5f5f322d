"""The audit without a network: slices compared pixel by pixel, after a flip and a shift that could hide a copy."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

from evaluation.closeness import Calibration, Nearest, Reference, closeness, gather_reference, number_patients
from evaluation.memorization import THRESHOLD, MemorizationAudit, audit
from evaluation.registration import register
from evaluation.types import FeatureSet, ImageSet, counts

SPACE = "pixel"
FINE = 64  # pixels a side at which slices are registered
COARSE = 16  # pixels a side at which candidates are sought: a shift of 1/8 is 2 of them
CANDIDATES = 5
BLOCK = 256  # slices sought at once


def pixel_memorization(
    train: ImageSet,
    held_out: ImageSet,
    generated: ImageSet,
    *,
    level: float = 0.95,
    false_discovery: float = 0.05,
    threshold: float = THRESHOLD,
    calibration: Calibration = "held-out",
    reference: Reference | None = None,
) -> MemorizationAudit:
    """Search the pixels for copies, flipped and slightly shifted ones too; distances are root mean squares.

    Args:
        train: slices that the generator has seen.
        held_out: slices that it has not seen.
        generated: slices under suspicion.
        level: of the intervals.
        false_discovery: largest expected share of wrong names among the copies that are named.
        threshold: p-value at which a slice counts as a copy.
        calibration: whose slices show how near one comes by chance.
        reference: what ``pixel_reference`` returns of the same slices and calibration, where it is known: it
            does not depend on the generated ones, and takes most of the time.
    """
    for images in (held_out, generated):
        if images.images.shape[1:] != train.images.shape[1:]:
            shapes = tuple(images.images.shape[1:]), tuple(train.images.shape[1:])
            raise ValueError(f"all slices must have one shape, but got {shapes[0]} and {shapes[1]}")
    neighbors = ImageNeighbors(train)
    return audit(
        closeness(neighbors, _shrink(generated)),
        pixel_reference(train, held_out, calibration) if reference is None else reference,
        space=SPACE,
        patients=neighbors.patients(),
        n=counts(train, generated) | {"held_out": len(held_out), "held_out_patients": held_out.patients},
        level=level,
        false_discovery=false_discovery,
        threshold=threshold,
        calibration=calibration,
    )


def pixel_reference(train: ImageSet, held_out: ImageSet, calibration: Calibration) -> Reference:
    """Return how near slices come that are no copies: of held-out patients, and of training patients left out."""
    neighbors = ImageNeighbors(train)
    return gather_reference(neighbors, _shrink(held_out), held_out.groups.cpu().numpy(), calibration)


def pixel_features(images: ImageSet, size: int = 32) -> FeatureSet:
    """Return each image averaged to `size` x `size` pixels as one row, in [0, 1]."""
    rows = adaptive_avg_pool2d(images.images.double(), size).flatten(1)
    return FeatureSet(rows.cpu().numpy(), images.groups.cpu().numpy(), SPACE)


@dataclass(frozen=True, eq=False)
class ImageNeighbors:
    """Training slices compared by what is left after registration; only the likeliest few are registered."""

    train: ImageSet

    def patients(self) -> Int64[np.ndarray, " t"]:
        """Return the patient of each training row, numbered from 0."""
        return number_patients("training", self.train.groups.cpu().numpy())

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n c h w"]:
        """Return training slices at the size at which they are registered."""
        return np.asarray(_shrink(self.train)[rows])

    def nearest(self, queries: Float64[np.ndarray, "n c h w"], barred: Bool[np.ndarray, "n t"]) -> Nearest:
        """Seek candidates on coarse slices, register them on fine ones, and keep the best."""
        train = torch.from_numpy(_shrink(self.train))
        blocks = zip(
            torch.split(torch.from_numpy(queries), BLOCK), torch.split(torch.from_numpy(barred), BLOCK), strict=True
        )
        found = [_nearest(block, train, bars) for block, bars in blocks]
        return Nearest(*(torch.cat(part).numpy() for part in zip(*found, strict=True)))


def _nearest(
    queries: Float64[Tensor, "n c h w"], train: Float64[Tensor, "t c h w"], barred: Bool[Tensor, "n t"]
) -> tuple[Int64[Tensor, " n"], Float64[Tensor, " n"]]:
    coarse = _coarse_distances(queries, train).masked_fill(barred, torch.inf)
    distances, candidates = coarse.topk(min(CANDIDATES, len(train)), largest=False)
    pairs = register(queries.repeat_interleave(candidates.shape[1], 0), train[candidates.flatten()])
    left, best = pairs.distance.view_as(candidates).masked_fill(distances.isinf(), torch.inf).min(1)
    return candidates.gather(1, best[:, None])[:, 0], left


def _coarse_distances(queries: Float64[Tensor, "n c h w"], train: Float64[Tensor, "t c h w"]) -> Float64[Tensor, "n t"]:
    """Return the least squared distance over flips and shifts of the queries, their edges continued."""
    rows = adaptive_avg_pool2d(train, COARSE).flatten(1)
    center = rows.mean(0)
    rows = rows - center
    steps = COARSE // 8
    coarse = pad(adaptive_avg_pool2d(queries, COARSE), (steps,) * 4, mode="replicate")
    least = torch.full((len(queries), len(train)), torch.inf, dtype=torch.float64)
    for turned, down, right in product((coarse, coarse.flip(-1)), range(2 * steps + 1), range(2 * steps + 1)):
        moved = turned[..., down : down + COARSE, right : right + COARSE].flatten(1) - center
        squares = moved.square().sum(1)[:, None] - 2 * moved @ rows.T
        least = torch.minimum(least, squares)
    return least + rows.square().sum(1)


def _shrink(images: ImageSet) -> Float64[np.ndarray, "n c h w"]:
    """Average larger slices to the size at which they are registered."""
    height, width = images.images.shape[-2:]
    small = adaptive_avg_pool2d(images.images.double(), (min(height, FINE), min(width, FINE)))
    return np.asarray(small.cpu().numpy())
