"""Time an evaluation: features against the bare network, and everything after the features.

Extraction (lite0) and the bare network run by turns, in one run, on the same batch and thread, in CPU
seconds: the network is given tensors that are prepared already, so the ratio shows what preparing and
collecting cost. Then all metrics on 500 real and 500 generated images of 64 x 64 are timed by the clock
on two cores, the Frechet bootstrap with them.

    python benchmarks/evaluate.py                    # about two minutes
    python benchmarks/evaluate.py --batch 128 --rounds 9
"""

import argparse
import statistics
import time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from evaluation import (
    FeatureSet,
    ImageSet,
    build_extractor,
    distance_curve,
    diversity,
    evaluate_features,
    frechet_distance,
    memorization,
    ms_ssim,
    pixel_memorization,
    psnr,
    ssim,
    stand_alone,
)
from evaluation.features.lite0 import prepare_lite0

PER_PATIENT = 10
LEAST_RATIO, MOST_SECONDS = 0.9, 60.0


def draw_images(seed, n, side):
    """Smooth gray images in [0, 1]."""
    coarse = torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def seconds(call, clock):
    start = clock()
    call()
    return clock() - start


def time_extraction(options):
    """Return CPU seconds of the bare network and of the extractor, in each round."""
    extractor, images = build_extractor("lite0"), stand_alone(draw_images(1, options.batch, options.side))
    network, prepared = extractor.network, prepare_lite0(images.images).contiguous()

    def bare():
        with torch.inference_mode():
            return network.forward_head(network.forward_features(prepared), pre_logits=True)

    def ours():
        return extractor.extract(images, batch_size=options.batch).rows

    expected, rows = bare().double().numpy(), ours()  # the first run of each is not timed
    assert np.array_equal(rows, expected), "the extractor must return what the network does"
    spent = {"bare": [], "ours": []}
    for turn in range(options.rounds):
        order = [("bare", bare), ("ours", ours)]
        for name, call in order if turn % 2 == 0 else reversed(order):
            spent[name].append(seconds(call, time.process_time))
    return spent


def time_metrics(options):
    """Return the seconds of each step after the features."""
    pictures = [draw_images(seed, options.count, options.side) for seed in (1, 2)]
    patients = torch.arange(options.count) // PER_PATIENT
    real, generated = ImageSet(pictures[0], patients), stand_alone(pictures[1])
    features = [draw_features(seed, each) for seed, each in enumerate((real, generated))]
    paired = ImageSet(pictures[1], patients)
    pictures_seen = ImageSet(draw_images(3, options.count, options.side), patients)
    train = draw_features(3, pictures_seen)
    steps = {
        "fd, population, kid .. coverage": lambda: evaluate_features(*features),
        f"fd, {options.replicates} replicates": lambda: frechet_distance(
            *features, interval="bootstrap", replicates=options.replicates
        ),
        "ssim": lambda: ssim(real, paired),
        "ms-ssim": lambda: ms_ssim(real, paired),
        "psnr": lambda: psnr(real, paired),
        "diversity": lambda: diversity(generated),
        "copies, features": lambda: memorization(train, features[0], features[1]),
        "copies, pixels": lambda: pixel_memorization(pictures_seen, real, generated),
        "fd against n": lambda: distance_curve(*features),
    }
    return {name: seconds(call, time.perf_counter) for name, call in steps.items()}


def draw_features(seed, images, width=1280):
    """Rows as wide as lite0's, with a spectrum like 1/i; their values do not decide the time."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((len(images), width)) * np.arange(1.0, width + 1) ** -0.5
    return FeatureSet(rows, images.groups.numpy(), "lite0")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64, help="images that are extracted in each round")
    parser.add_argument("--side", type=int, default=64, help="pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=500, help="images on each side for the metrics")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2, help="of the metrics")
    return parser.parse_args()


def main():
    options = parse_options()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        spent = time_extraction(options)
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        steps = time_metrics(options)
    print(f"lite0, a batch of {options.batch} images of {options.side} x {options.side}, CPU seconds of each round")
    for name, each in spent.items():
        print(f"{name:>32}" + "".join(f"{value:>10.2f}" for value in each))
    ratio = statistics.median(spent["bare"]) / statistics.median(spent["ours"])
    print(f"{'share of the bare speed':>32}{ratio:>10.3f}   at least {LEAST_RATIO} is wanted")
    print(f"{options.count} real and {options.count} generated images after the features, seconds")
    for name, spent in steps.items():
        print(f"{name:>32}{spent:>10.2f}")
    print(f"{'in all':>32}{sum(steps.values()):>10.2f}   at most {MOST_SECONDS:.0f} is wanted")


if __name__ == "__main__":
    main()
