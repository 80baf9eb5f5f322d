"""Damage held-out real slices in known ways, and ask of every metric whether it notices, and at how many slices.

Patients are dealt into two halves: the reference, and those that are damaged. A metric notices where the 95 %
interval of (damaged - undamaged), both against the same reference, excludes 0. Where row i of both is the same
slice, they are paired; each patient counts once. Bold: noticed. In brackets: noticed, but called *better*.

    python benchmarks/sensitivity.py                                     # phantoms
    python benchmarks/sensitivity.py --data FOLDER --size 64             # NIfTI volumes, axial slices
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from evaluation import EXTRACTORS, FeatureSet, ImageSet, build_extractor, evaluate_features
from evaluation.compare import compare_features
from evaluation.distortions import add_noise, bend_contrast, blur, repeat_patients, shuffle_tiles
from sbldm.data import NiftiSpec, PhantomSpec, PrepareSpec, SplitSpec, prepare_data

METRICS = ("fd", "kid", "precision", "recall", "density", "coverage")
PAIRED = {
    "noise, sigma 0.03": partial(add_noise, sigma=0.03),
    "noise, sigma 0.1": partial(add_noise, sigma=0.1),
    "blur, 0.6 px": partial(blur, sigma_pixels=0.6),
    "blur, 1 px": partial(blur, sigma_pixels=1.0),
    "blur, 2 px": partial(blur, sigma_pixels=2.0),
    "gamma 0.7": partial(bend_contrast, gamma=0.7),
    "gamma 1.4": partial(bend_contrast, gamma=1.4),
    "tiles 4 x 4 shuffled": shuffle_tiles,
}


def deal_patients(options):
    """Return the slices and positions of two halves of the patients."""
    if options.data is None:
        source = PhantomSpec(patients=40, slices=32, size=options.size)
    else:
        source = NiftiSpec(root=options.data)
    split = SplitSpec(train=0.5, validation=0.25, test=0.25, seed=options.seed)
    data = prepare_data(source, prepare=PrepareSpec(size=options.size, slices_per_subject=32), split=split)
    rest = [data.validation, data.test]
    shift = int(rest[0].subjects.max()) + 1
    groups = torch.cat([rest[0].subjects, rest[1].subjects + shift])
    held_out = ImageSet((torch.cat([part.images for part in rest]) + 1) / 2, groups)
    reference = ImageSet((data.train.images + 1) / 2, data.train.subjects)
    return reference, held_out, torch.cat([part.positions for part in rest])


def take_turns(images, n, *, seed):
    """Return n slices, one of each patient in turn, so that the first slices show as many patients as can be."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.empty(len(images), dtype=torch.int64)
    for group in torch.unique(images.groups):
        rows = (images.groups == group).nonzero().flatten()
        turn[rows[torch.randperm(len(rows), generator=generator)]] = torch.arange(len(rows))
    order = (turn * (images.groups.max() + 1) + images.groups).argsort()[:n]
    if len(order) < n:
        sys.exit(f"the largest n must be at most the slices of half the patients, but got {n} of {len(order)}")
    return ImageSet(images.images[order], images.groups[order])


def make_cases(held_out, positions, n, seed):
    """Yield each damaged set: its name, the images, and whether row i is the undamaged row i."""
    undamaged = take_turns(held_out, n, seed=seed)
    yield "undamaged", undamaged, True
    yield "nothing: other slices of these patients", take_turns(held_out, n, seed=seed + 1), False
    for name, damage in PAIRED.items():
        yield name, damage(undamaged), True
    yield "two patients repeated", repeat_patients(held_out_first(held_out, undamaged), 2, seed=seed), False
    low = positions < positions.median()
    lower = ImageSet(held_out.images[low], held_out.groups[low])
    yield "lower half of the positions only", take_turns(lower, n, seed=seed), False


def held_out_first(held_out, undamaged):
    """Return all slices, cut to as many as there are undamaged ones, whole patients first."""
    order = held_out.groups.argsort(stable=True)[: len(undamaged)]
    return ImageSet(held_out.images[order], held_out.groups[order])


def first_rows(features, n):
    return FeatureSet(features.rows[:n], features.groups[:n], features.extractor)


def find_values(reference, other):
    """Return the six metrics of a set, by name."""
    found = {result.name: result.point for result in evaluate_features(reference, other)}
    return {metric: found[f"{metric}_{reference.extractor}"] for metric in METRICS}


def find_differences(reference, undamaged, damaged, paired):
    """Return the six differences damaged - undamaged, by name."""
    found = {each.name: each for each in compare_features(reference, damaged, undamaged, paired=paired)}
    return {metric: found[f"{metric}_{reference.extractor}"] for metric in METRICS}


def write_cell(metric, floor, difference):
    """FD as a multiple of the undamaged value, the others as the change; bold where noticed."""
    ratio = 1 + difference.point / floor
    text = {"fd": f"x{ratio:.2f}", "kid": f"{difference.point:+.3g}"}.get(metric, f"{difference.point:+.2f}")
    if difference.low is None or difference.low <= 0 <= difference.high:
        return text
    worse = difference.point > 0 if difference.direction == "lower" else difference.point < 0
    return f"**{text}**" if worse else f"({text})"


def tabulate(extractor, sizes, rows):
    print(f"\n### {extractor}\n")
    print(f"Each cell: n = {', '.join(map(str, sizes))} on each side.\n")
    print("| damage | FD, ratio | KID, change | precision | recall | density | coverage |")
    print("|---|---|---|---|---|---|---|")
    for name, by_size in rows.items():
        cells = [" / ".join(cell[column] for cell in by_size) for column in range(len(METRICS))]
        print(f"| {name} | {' | '.join(cells)} |")


def write_floor(values):
    cells = [" / ".join(f"{each[metric]:.3g}" for each in values) for metric in METRICS]
    return f"| undamaged: the noise floor | {' | '.join(cells)} |"


def summarize(sizes, rows):
    """Print from how many slices on each metric notices each damage."""
    print("\nSmallest n from which the metric notices the damage, and at every larger n:\n")
    print("| damage | FD | KID | precision | recall | density | coverage |")
    print("|---|---|---|---|---|---|---|")
    for name, by_size in rows.items():
        cells = [smallest(sizes, [cell[column].startswith("**") for cell in by_size]) for column in range(len(METRICS))]
        print(f"| {name} | {' | '.join(cells)} |")


def smallest(sizes, noticed):
    missed = [place for place, is_noticed in enumerate(noticed) if not is_noticed]
    first = missed[-1] + 1 if missed else 0
    return str(sizes[first]) if first < len(sizes) else "never"


def measure(name, options, reference, cases):
    extractor = build_extractor(name)
    real = extractor.extract(reference)
    features = [(label, extractor.extract(images), paired) for label, images, paired in cases]
    undamaged, rows, floors = features[0][1], {}, []
    for n in options.sizes:
        sides = [first_rows(each, n) for each in (real, undamaged)]
        floors.append(find_values(*sides))
        for label, damaged, paired in features[1:]:
            found = find_differences(*sides, first_rows(damaged, n), paired)
            cells = [write_cell(metric, floors[-1][metric], found[metric]) for metric in METRICS]
            rows.setdefault(label, []).append(cells)
    tabulate(name, options.sizes, rows)
    print(write_floor(floors))
    summarize(options.sizes, rows)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of NIfTI volumes; phantoms without it")
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 200], help="slices on each side")
    parser.add_argument("--extractors", nargs="+", default=[x for x in ("lite0", "lite0_block") if x in EXTRACTORS])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.sizes.sort()
    return options


def main():
    options = parse_options()
    torch.set_num_threads(1)
    started, most = time.process_time(), max(options.sizes)
    reference, held_out, positions = deal_patients(options)
    real = take_turns(reference, most, seed=options.seed)
    cases = list(make_cases(held_out, positions, most, options.seed))
    kind = "phantoms" if options.data is None else "volumes"
    shown = np.unique(real.groups.numpy()).size, np.unique(cases[0][1].groups.numpy()).size
    print(f"{kind}, {options.size} pixels, {shown[0]} patients as reference, {shown[1]} others damaged")
    for name in options.extractors:
        measure(name, options, real, cases)
    print(f"\n{time.process_time() - started:.0f} CPU seconds")


if __name__ == "__main__":
    main()
