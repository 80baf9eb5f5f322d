"""Do the intervals cover what they name? Data sets drawn anew, with patients whose slices hang together."""

from functools import cache, partial

import numpy as np
import pytest

from evaluation import FeatureSet, frechet_distance, kernel_distance


def draw(seed, d, patients, per_patient, generated):
    """Draw slices with intra-class correlation 0.7, and samples of a slightly different law."""
    scale = np.arange(1.0, d + 1) ** -0.5
    tilt = np.exp(0.15 * np.random.default_rng(0).standard_normal(d))
    generator = np.random.default_rng(seed)
    between = np.repeat(generator.standard_normal((patients, d)), per_patient, axis=0)
    rows = (np.sqrt(0.7) * between + np.sqrt(0.3) * generator.standard_normal(between.shape)) * scale
    others = generator.standard_normal((generated, d)) * scale * tilt + 0.1 * scale
    groups = np.arange(len(rows)) // per_patient
    return FeatureSet(rows, groups, "toy"), FeatureSet(others, np.arange(generated), "toy")


def share_covered(measure, target, *, trials, **shape):
    results = [measure(*draw(10_000 + trial, **shape)) for trial in range(trials)]
    return np.mean([result.low <= target <= result.high for result in results])


@cache
def mean_value(measure, *, trials, **shape):
    return np.mean([measure(*draw(trial, **shape)).point for trial in range(trials)])


def independent(measure):
    """Take each slice for a patient of its own, as usual tools do."""

    def measure_rows(real, generated):
        return measure(FeatureSet(real.rows, np.arange(len(real)), "toy"), generated)

    return measure_rows


SHAPE = {"d": 16, "patients": 20, "per_patient": 8, "generated": 120}


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
def test_the_interval_covers_the_mean_at_this_n(measure):
    target = mean_value(measure, trials=300, **SHAPE)
    assert share_covered(measure, target, trials=200, **SHAPE) >= 0.92, "200 trials put 95 % within 3 points"


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
def test_slices_counted_as_patients_do_not_cover(measure):
    target = mean_value(measure, trials=300, **SHAPE)
    assert share_covered(independent(measure), target, trials=200, **SHAPE) < 0.9


def test_percentiles_of_the_frechet_bootstrap_cover_nothing():
    """Resampling adds the bias once more: the interval misses even the mean at this n, from above."""
    percentiles = partial(frechet_distance, interval="percentile (does not cover)", replicates=50)
    target = mean_value(frechet_distance, trials=300, **SHAPE)
    assert share_covered(percentiles, target, trials=20, **SHAPE) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    "shape",
    [
        {"d": 128, "patients": 20, "per_patient": 5, "generated": 100},
        {"d": 32, "patients": 60, "per_patient": 3, "generated": 150},
        {"d": 256, "patients": 100, "per_patient": 1, "generated": 100},
    ],
)
def test_the_interval_covers_in_more_shapes(measure, shape):
    target = mean_value(measure, trials=600, **shape)
    assert share_covered(measure, target, trials=400, **shape) >= 0.92


@pytest.mark.slow
def test_the_bootstrap_sd_covers_and_percentiles_do_not():
    shape = {"d": 64, "patients": 20, "per_patient": 5, "generated": 100}
    target = mean_value(frechet_distance, trials=300, **shape)
    bootstrap = partial(frechet_distance, interval="bootstrap", replicates=100)
    percentiles = partial(frechet_distance, interval="percentile (does not cover)", replicates=100)
    assert share_covered(bootstrap, target, trials=60, **shape) > 0.92
    assert share_covered(percentiles, target, trials=60, **shape) == 0
