"""Laws with a known Frechet distance, from which data sets are drawn: the ground that intervals are tested on.

Distances are in units of the real law's total variance, Tr S = 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation import FeatureSet

Rows = np.ndarray
CORRELATION = 0.7  # of two slices of one patient
TAIL = 6  # degrees of freedom of the heavy-tailed law
PATIENTS, SLICES = 400, 8


@dataclass(frozen=True)
class Law:
    """Draws n rows of m per patient, and knows its mean and the square root of its covariance."""

    draw: Callable[[np.random.Generator, int, int], Rows]
    mean: Rows
    root: Rows  # standard deviations where all laws share their axes, else a matrix


@dataclass(frozen=True)
class Population:
    """Real patients and a generator: two laws and the distance between them."""

    name: str
    real: Law
    generated: Law

    @property
    def distance(self):
        return frechet(self.real, self.generated)

    def draw(self, seed, n, per_patient=1):
        rng = np.random.default_rng(seed)
        groups = np.arange(n) // per_patient
        return (
            FeatureSet(self.real.draw(rng, n, per_patient), groups, "toy"),
            FeatureSet(self.generated.draw(rng, n, 1), np.arange(n), "toy"),
        )


def frechet(first, second):
    """Return the Frechet distance of two laws from their moments."""
    shift = float(((first.mean - second.mean) ** 2).sum())
    if first.root.ndim == 1:
        return shift + float(((first.root - second.root) ** 2).sum())
    norm = np.linalg.svd(first.root @ second.root, compute_uv=False).sum()
    return shift + float((first.root**2).sum() + (second.root**2).sum() - 2 * norm)


def gaussian(spectrum, mean=0.0, tail=None):
    """Return a Gaussian law, or with `tail` a Student law of the same covariance."""

    def draw(rng, n, per_patient):
        patients = np.arange(n) // per_patient
        rows = rng.standard_normal((n, len(spectrum)))
        if per_patient > 1:
            shared = rng.standard_normal((patients[-1] + 1, len(spectrum)))[patients]
            rows = np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * rows
        if tail:
            rows *= np.sqrt((tail - 2) / rng.chisquare(tail, (patients[-1] + 1, 1)))[patients]
        return rows * np.sqrt(spectrum) + mean

    return Law(draw, np.full(len(spectrum), 0.0) + mean, np.sqrt(spectrum))


def synthetic(name, width):
    """Return one of the families; its generator differs in every eigenvalue, in the mean, or in the far tail."""
    ranks = np.arange(width)
    spectrum = np.exp(-ranks / 40) if name == "exponential" else 1 / (ranks + 1.0)
    spectrum /= spectrum.sum()
    if name.startswith("collapsed"):
        return Population(
            name, gaussian(spectrum), gaussian(spectrum / (1 + ranks / (40 if name == "collapsed" else 120)))
        )
    tail = TAIL if name == "heavy" else None
    rng = np.random.default_rng(0)
    tilted = spectrum * np.exp(0.3 * rng.standard_normal(width))
    shifted = 0.1 * rng.standard_normal(width) * np.sqrt(spectrum)
    if name == "null":
        return Population(name, gaussian(spectrum), gaussian(spectrum))
    return Population(name, gaussian(spectrum, tail=tail), gaussian(tilted, shifted, tail=tail))


def measured(real, generated, groups):
    """Return the law of features that were measured: the rows themselves are the population."""
    scale = 1 / np.sqrt(real.var(0).sum())
    members = [np.flatnonzero(groups == patient) for patient in np.unique(groups)]
    return Population("features", _empirical(real * scale, members), _empirical(generated * scale, members))


def _empirical(rows, members):
    values, vectors = np.linalg.eigh(np.cov(rows, rowvar=False, bias=True))

    def draw(rng, n, per_patient):
        if per_patient == 1:
            return rows[rng.integers(0, len(rows), n)]
        patients = rng.integers(0, len(members), -(-n // per_patient))
        drawn = [rng.permutation(members[patient])[:per_patient] for patient in patients]
        return rows[np.concatenate(drawn)[:n]]

    return Law(draw, rows.mean(0), (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)


def phantom_features(path: Path):
    """Return real and blurred, noisy phantom slices' features under lite0's block (320); made once, kept in a file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, **_extract())
        part.replace(path)
    with np.load(path, allow_pickle=False) as arrays:
        return measured(arrays["real"], arrays["generated"], arrays["groups"])


def _extract():
    import torch
    from torchvision.transforms.functional import gaussian_blur

    from evaluation import ImageSet, build_extractor
    from sbldm.data import PhantomSpec, PrepareSpec, SplitSpec, prepare_data

    source = PhantomSpec(patients=PATIENTS, slices=SLICES)
    data = prepare_data(source, prepare=PrepareSpec(size=64), split=SplitSpec(train=0.98, validation=0.01, test=0.01))
    groups, images = data.train.subjects, (data.train.images + 1) / 2
    noise = 0.02 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    blurred = (gaussian_blur(images, [5, 5], [0.7, 0.7]) + noise).clamp(0, 1)
    extractor = build_extractor("lite0_block")
    real, generated = (extractor.extract(ImageSet(each, groups)).rows for each in (images, blurred))
    return {"real": real, "generated": generated, "groups": groups.numpy()}
