"""Do the intervals hold? Data sets are drawn from laws whose distance is known; intervals that cover are counted.

    python benchmarks/coverage.py                 # about half an hour on two cores
    python benchmarks/coverage.py --trials 20 --largest 512

Targets: `fd` aims at the plug-in's own mean at this n, `population_fd` at the distance of the laws, `kid` at its
mean. A method that holds covers in 90 to 99 of 100; `wide` covers more, `FAILS` less; `refused` gives no interval.
Exit code 1 where a default method fails.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from populations import phantom_features, synthetic

from evaluation import frechet_distance, kernel_distance, population_distance
from evaluation.compare import compare_influences
from evaluation.frechet import frechet_influence
from evaluation.population import choose_estimator

REPLICATES = 100
LOW, HIGH = 0.90, 0.99
DEFAULTS = {
    "fd -+ influence": frechet_distance,
    "population_fd": population_distance,
    "kid": kernel_distance,
}
OPTIONS = {
    "fd -+ bootstrap sd": partial(frechet_distance, interval="bootstrap", replicates=REPLICATES),
    "fd percentile": partial(frechet_distance, interval="percentile (does not cover)", replicates=REPLICATES),
}
LARGEST_BOOTSTRAP, FEWER_TRIALS = 300, 40
# law, n on both sides, features, slices per patient
CELLS = [
    *(("gaussian", n, d, 1) for n, d in ((30, 32), (50, 64), (100, 64), (300, 64), (1000, 64), (100, 256), (200, 256))),
    *(("gaussian", n, d, 1) for n, d in ((500, 256), (60, 512), (130, 512), (200, 512), (500, 512), (1000, 512))),
    *(("gaussian", n, d, 1) for n, d in ((1000, 1280), (200, 2048), (600, 2048), (2000, 2048))),
    *(
        (law, n, d, 1)
        for law in ("heavy", "exponential", "collapsed")
        for n, d in ((30, 32), (50, 64), (100, 64), (300, 64), (80, 256), (200, 512), (500, 512), (600, 2048))
    ),
    *(("null", n, d, 1) for n, d in ((100, 64), (200, 512), (500, 512))),
    *(("gaussian", n, d, m) for n, d, m in ((200, 64, 5), (400, 64, 10), (500, 256, 5), (500, 512, 5), (400, 256, 10))),
    *(("heavy", n, d, m) for n, d, m in ((200, 64, 5), (400, 64, 10), (500, 256, 5))),
    *(("collapsed", n, d, m) for n, d, m in ((200, 64, 5), (500, 256, 5), (1000, 512, 5))),
    *(("features", n, 320, m) for n, m in ((50, 1), (100, 1), (200, 1), (400, 1), (320, 4), (800, 4), (800, 8))),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="data sets per cell, fewer where they are large")
    parser.add_argument("--largest", type=int, default=2048, help="leave out cells with more features or rows")
    parser.add_argument("--laws", nargs="+", default=sorted({cell[0] for cell in CELLS}))
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--features", type=Path, default=Path("mlruns/cache/phantom_features.npz"))
    options = parser.parse_args()
    cells = [cell for cell in CELLS if cell[0] in options.laws and max(cell[1:3]) <= options.largest]
    if any(cell[0] == "features" for cell in cells):
        phantom_features(options.features)  # made before the workers need it
    print("| law | n | d | slices per patient | method | target | mean | deviation | mean error | covers | |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    failed = 0
    with ProcessPoolExecutor(options.workers) as pool:
        for lines, failures in pool.map(partial(run_cell, trials=options.trials, features=options.features), cells):
            print("\n".join(lines), flush=True)
            failed += failures
        if "collapsed" in options.laws:
            print("\nWhich of two collapsed models is better, at d = 512? Shares of data sets:\n")
            print("| n | method | true difference | mean | covers | right | wrong | cannot tell |")
            print("|---|---|---|---|---|---|---|---|")
            for line in pool.map(partial(run_difference, trials=options.trials), (60, 100, 200, 500)):
                print(line, flush=True)
    print(f"\n{failed} default intervals fail")
    sys.exit(1 if failed else 0)


def find_population(law, width, features):
    return phantom_features(features) if law == "features" else synthetic(law, width)


def run_cell(cell, *, trials, features):
    """Return the table's lines of one cell, and how many default methods fail in it."""
    law, n, width, per_patient = cell
    population = find_population(law, width, features)
    trials = max(20, min(trials, int(trials * (600 / max(n, width // 2)) ** 2)))
    methods = DEFAULTS | (OPTIONS if n <= LARGEST_BOOTSTRAP else {})
    drawn = [population.draw(seed, n, per_patient) for seed in range(trials)]
    lines, failures = [], 0
    for name, measure in methods.items():
        found = [measure(*pair) for pair in (drawn if name in DEFAULTS else drawn[:FEWER_TRIALS])]
        line, verdict = judge(found, population.distance if name == "population_fd" else None)
        failures += verdict == "FAILS" and name in DEFAULTS
        lines.append(f"| {law} | {n} | {width} | {per_patient} | {name} | {line} | {verdict} |")
    return lines, failures


def judge(results, truth):
    """Return what a table says of the intervals, and the verdict; without a truth the target is their own mean."""
    spoken = [each for each in results if each.low is not None]
    if len(spoken) < len(results) / 2:
        return "- | - | - | - | -", "refused"
    points = np.array([each.point for each in spoken])
    truth = points.mean() if truth is None else truth
    covers = np.mean([each.low <= truth <= each.high for each in spoken])
    errors = np.mean([(each.high - each.low) / 3.92 for each in spoken])
    verdict = "FAILS" if covers < LOW - 2 * spread(len(spoken)) else "wide" if covers > HIGH else "holds"
    numbers = (truth, points.mean(), points.std(ddof=1), errors)
    return " | ".join([*(f"{number:.3g}" for number in numbers), f"{covers:.2f}"]), verdict


def spread(trials):
    """Return the standard error of a share of 0.9, so that few trials do not cry wolf."""
    return float(np.sqrt(0.09 / trials))


def run_difference(n, *, trials):
    """Return how often differences of two collapsed models, held against one reference, name the better one."""
    better, worse = synthetic("collapsed slightly", 512), synthetic("collapsed", 512)
    truth = worse.distance - better.distance
    lines = []
    for name in ("plug-in fd", "population_fd"):
        found = [difference(worse, better, seed, n, name) for seed in range(trials)]
        told = [each for each in found if each is not None]
        covers = f"{np.mean([each.low <= truth <= each.high for each in told]):.2f}" if told else "-"
        mean = f"{np.mean([each.point for each in told]):.4f}" if told else "-"
        right, wrong = (np.mean([each is not None and side(each) for each in found]) for side in (above, below))
        shares = f"{right:.2f} | {wrong:.2f} | {1 - right - wrong:.2f}"
        lines.append(f"| {n} | {name} | {truth:.4f} | {mean} | {covers} | {shares} |")
    return "\n".join(lines)


def above(difference):
    return difference.low > 0


def below(difference):
    return difference.high < 0


def difference(worse, better, seed, n, name):
    real, first = worse.draw(seed, n)
    _, second = better.draw(seed + 1_000_000, n)
    if name == "plug-in fd":
        parts = [frechet_influence(real.rows, each.rows) for each in (first, second)]
    else:
        estimator = choose_estimator(real, first, second)
        if estimator.name is None:
            return None
        parts = [estimator.influence(real, each) for each in (first, second)]
    return compare_influences(*parts, real=real, first_generated=first, second_generated=second, paired=False)


if __name__ == "__main__":
    main()
