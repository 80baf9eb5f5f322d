"""Toy feature sets and image pairs whose patients own several rows."""

import jaxtyping
import numpy as np
import pytest
import torch

from evaluation import FeatureSet, ImageSet


def features(seed, n=60, d=12, *, per_patient=1, noise=0.0, offset=0.0):
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((n, d)) + offset + noise * np.linspace(0.5, 1.5, d)
    return FeatureSet(rows, np.arange(n) // per_patient, "toy")


def images(seed, n=12, size=32, *, per_patient=2):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((n, 1, 6, 6), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)
    return ImageSet(0.2 + 0.6 * smooth, torch.arange(n) // per_patient)


def worsen(pair, strength, seed=9):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(pair.images.shape, generator=generator)
    return ImageSet((pair.images + strength * noise).clamp(0, 1), pair.groups)


@pytest.fixture
def make_features():
    return features


@pytest.fixture
def make_images():
    return images


@pytest.fixture
def add_noise():
    return worsen


@pytest.fixture
def _as_users_run():
    """Switch off the shape checks of the test run, so that the library's own words are heard."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
