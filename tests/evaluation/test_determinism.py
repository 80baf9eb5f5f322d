"""Equal features, images and seeds give equal numbers, whatever the number of threads."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from evaluation import (
    ImageSet,
    frechet_distance,
    kernel_distance,
    population_distance,
    precision_recall,
    psnr,
    ssim,
)


@contextmanager
def running_on(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)


def numbers(result):
    results = result if isinstance(result, tuple) else (result,)
    return [(each.point, each.low, each.high) for each in results]


@pytest.fixture(params=[(300, 1280), (200, 96)], ids=lambda shape: "{}x{}".format(*shape))
def pair(request, make_features):
    n, width = request.param
    real, generated = (make_features(seed, n - 10 * seed, width, per_patient=2, offset=1.0) for seed in (0, 1))
    decay = np.arange(1.0, width + 1) ** -0.4
    return replace(real, rows=real.rows * decay + 1), replace(generated, rows=generated.rows * decay + 1)


def on_one_and_two(measure):
    with running_on(1):
        first = numbers(measure())
    with running_on(2):
        return first, numbers(measure()), numbers(measure())


@pytest.mark.parametrize(
    "measure",
    [
        frechet_distance,
        lambda *pair: frechet_distance(*pair, interval="bootstrap", replicates=20, seed=3),
        population_distance,
        kernel_distance,
        precision_recall,
    ],
    ids=["influence", "bootstrap", "population", "kernel", "neighbors"],
)
def test_threads_leave_every_digit_of_distances_and_neighbors(measure, pair):
    first, *others = on_one_and_two(lambda: measure(*pair))
    assert all(np.array_equal(np.array(other, float), np.array(first, float), equal_nan=True) for other in others)


@pytest.mark.parametrize("measure", [ssim, psnr])
def test_threads_leave_every_digit_of_similarity(measure, make_images, add_noise):
    real = make_images(1, 70, 24)
    generated = add_noise(real, 0.1)
    first, *others = on_one_and_two(lambda: measure(real, generated, seed=4))
    assert all(other == first for other in others)


@pytest.mark.parametrize("measure", [ssim, psnr])
def test_another_seed_moves_the_interval_and_never_the_point(measure, make_images, add_noise):
    real = make_images(1, 20, 24)
    generated = add_noise(real, 0.1)
    (first,), (other,) = (numbers(measure(real, generated, seed=seed)) for seed in (0, 1))
    assert first[0] == other[0]
    assert first[1:] != other[1:]


def test_the_order_of_the_rows_leaves_ssim_of_each_pair(make_images, add_noise):
    """Images are blurred 64 at a time; a pair's score does not depend on its neighbors."""
    from evaluation.similarity import ssim_scores

    real = make_images(1, 70, 24)
    generated = add_noise(real, 0.1)
    order = torch.arange(69, -1, -1)
    turned = [ImageSet(each.images[order], each.groups[order]) for each in (real, generated)]
    np.testing.assert_array_equal(ssim_scores(*turned), ssim_scores(real, generated)[::-1])
