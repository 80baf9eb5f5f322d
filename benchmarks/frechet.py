"""Time a bootstrap interval of the Frechet distance against loops over torch-fidelity's and scipy's routines.

All are timed in one run on one thread, by turns, in CPU seconds. A peer is timed on a few replicates
(mean, covariance and distance of resampled rows) and scaled. Speed is shown only where the values agree.

    python benchmarks/frechet.py                              # about three minutes
    python benchmarks/frechet.py --sizes 200x2048 5000x2048 --ours 20 --rounds 1
"""

import argparse
import statistics
import time

import numpy as np
import scipy.linalg
import torch
from threadpoolctl import threadpool_limits

from evaluation.frechet import frechet_influence
from evaluation.frechet_bootstrap import frechet_replicates
from evaluation.intervals import resample_patients


def draw_features(seed, n, d):
    """Rows with a spectrum like 1/i, rotated, far from the origin."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d)) * np.arange(1.0, d + 1) ** -0.5
    mirror = np.random.default_rng(0).standard_normal(d)
    mirror /= np.linalg.norm(mirror)
    return rows - 2 * np.outer(rows @ mirror, mirror) + 1


def torch_fidelity_distance(x, y):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    parts = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in (x, y)]
    return fid_statistics_to_metric(*parts, verbose=False)["frechet_inception_distance"]


def scipy_distance(x, y):
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    difference = x.mean(0) - y.mean(0)
    root = scipy.linalg.sqrtm(first @ second)
    return difference @ difference + np.trace(first) + np.trace(second) - 2 * np.trace(root).real


def cpu_seconds(call, *args):
    start = time.process_time()
    value = call(*args)
    return time.process_time() - start, value


def compare(n, d, options):
    x, y = draw_features(1, n, d), draw_features(2, n, d)
    rng = np.random.default_rng(0)
    draws = [resample_patients(np.arange(n), replicates=options.ours, generator=rng) for _ in range(2)]
    seconds = {"ours": [], "torch-fidelity": [], "scipy": []}
    peers = {"torch-fidelity": torch_fidelity_distance, "scipy": scipy_distance}
    worst = 0.0
    for turn in range(options.rounds):
        spent, values = cpu_seconds(frechet_replicates, x, y, *draws)
        seconds["ours"].append(spent / options.ours)
        rows = [np.repeat(part, draw[turn].astype(int), axis=0) for part, draw in zip((x, y), draws, strict=True)]
        for name, distance in peers.items():
            if name == "scipy" and turn > 0 and not options.scipy_every_round:
                continue
            spent, value = cpu_seconds(distance, *rows)
            seconds[name].append(spent)
            worst = max(worst, abs(values[turn] / value - 1))
    influence, _ = cpu_seconds(frechet_influence, x, y)
    return {name: statistics.median(times) for name, times in seconds.items()}, influence, worst


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["200x2048", "1000x1280", "1000x2048"], metavar="ROWSxWIDTH")
    parser.add_argument("--ours", type=int, default=200, help="replicates of ours per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicates", type=int, default=1000, help="what all times are scaled to")
    parser.add_argument("--scipy-every-round", action="store_true", help="scipy is timed once per size unless asked")
    return parser.parse_args()


def main():
    options = parse_options()
    torch.set_num_threads(1)
    print(f"CPU seconds of {options.replicates} replicates, both sides resampled, one thread, medians")
    heads = ("rows x width", "ours", "torch-fidelity", "scipy", "ratio", "ratio", "influence", "disagreement")
    print("".join(f"{head:>16}" for head in heads))
    for size in options.sizes:
        n, d = (int(part) for part in size.split("x"))
        with threadpool_limits(1):
            median, influence, worst = compare(n, d, options)
        assert worst < 1e-5, f"the values disagree by {worst:.1e}"  # sqrtm and eigvals err by 1e-7 to 2e-6 themselves
        ours, theirs, root = (options.replicates * median[name] for name in ("ours", "torch-fidelity", "scipy"))
        ratios = f"{theirs / ours:>15.0f}x{root / ours:>15.0f}x"
        print(
            f"{size:>16}{ours:>16.2f}{theirs:>16.0f}{root:>16.0f}{ratios}{influence:>16.2f}{worst:>16.1e}", flush=True
        )


if __name__ == "__main__":
    main()
