"""How often does a study claim what is not there, and find what is? Whole studies, simulated from feature rows.

Command: ``make null-study`` or ``python benchmarks/null_study.py --repeats 400``; about two minutes on one core.

Each repeat draws real patients (slices of one patient resemble each other), and for every setting and seed the samples
of one training: a Gaussian whose mean is off by a part that all trainings share, by one that all settings of a seed
share (they start from the same weights and noise) and by one of the training's own. An unsteady setting differs more
from seed to seed, but its distance has the same expectation, so that there is nothing to find. The numbers go through
the functions that make a study's table. A claim is any setting called better or worse.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from evaluation import FeatureSet, MetricResult, frechet_distance
from evaluation.compare import frechet_at_this_n
from evaluation.verdict import find
from search.replicates import Reference, compare_cells

WIDTH, PATIENTS, SLICES, SAMPLES = 8, 31, 4, 96
OFFSET, SHARED, OWN = 1.0, 0.1, 0.1
"""How far every model's mean lies off along each feature, for none is perfect, and the standard deviations of that
over seeds and over trainings of one seed; in units of the feature's spread. Distances are about 8, give or take 0.8."""


@dataclass(frozen=True)
class Scene:
    """One kind of study.

    Attributes:
        settings: the baseline among them.
        seeds: trainings of each.
        effect: shift of the second setting's mean along every feature; 0 plants nothing.
        unsteady: factor on how much the last setting's own trainings differ.
    """

    settings: int
    seeds: int
    effect: float = 0.0
    unsteady: float = 1.0


@dataclass(frozen=True)
class Rates:
    """Shares of the repeats: any false claim, the planted setting found worse, and no interval at all."""

    false_claims: float
    found: float
    withheld: float
    repeats: int


SCENES = (
    *(Scene(settings, seeds) for settings in (2, 5) for seeds in (1, 2, 3, 5)),
    *(Scene(5, seeds, unsteady=3.0) for seeds in (2, 3, 5)),
    *(Scene(settings, seeds, effect) for settings in (2, 5) for seeds in (2, 3, 5) for effect in (0.1, 0.25)),
)


def simulate(scene: Scene, *, repeats: int, seed: int = 0) -> Rates:
    """Return how a kind of study ends."""
    false, found, withheld = 0, 0, 0
    for repeat in range(repeats):
        findings = run_once(scene, np.random.default_rng([seed, repeat]))
        planted = findings.pop("1") if scene.effect else ""
        false += bool({"better", "worse"} & set(findings.values())) or planted == "better"
        found += planted == "worse"
        withheld += "cannot tell" in (planted, *findings.values())
    return Rates(false / repeats, found / repeats, withheld / repeats, repeats)


def run_once(scene: Scene, generator: np.random.Generator) -> dict[str, str]:
    """Return what one study finds of each setting but the baseline."""
    patients = generator.normal(0, np.sqrt(0.5), (PATIENTS, 1, WIDTH))
    rows = patients + generator.normal(0, np.sqrt(0.5), (PATIENTS, SLICES, WIDTH))
    real = FeatureSet(rows.reshape(-1, WIDTH), np.repeat(np.arange(PATIENTS), SLICES), "toy")
    cells: dict[str, dict[str, MetricResult]] = {}
    influence: dict[str, dict[str, Float64[np.ndarray, " n"]]] = {}
    blocks = generator.normal(0, SHARED, (scene.seeds, WIDTH))
    for setting in range(scene.settings):
        own = OWN * (scene.unsteady if setting == scene.settings - 1 else 1.0)
        shift = scene.effect if setting == 1 else 0.0
        for number, block in enumerate(blocks):
            steady = np.sqrt(OFFSET**2 - own**2)  # the expected square of the mean is that of any other setting
            mean = steady + block + shift + generator.normal(0, own, WIDTH)
            drawn = FeatureSet(mean + generator.normal(0, 1, (SAMPLES, WIDTH)), np.arange(SAMPLES), "toy")
            cells.setdefault(str(setting), {})[str(number)] = frechet_distance(real, drawn)
            influence.setdefault(str(setting), {})[str(number)] = frechet_at_this_n(real, drawn).real
    differences = compare_cells(cells, "0", Reference(influence, real.groups))
    return {label: find(each) for label, each in differences.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one row per scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args(arguments).repeats
    print("| settings | seeds | planted | unsteady | no false claim | planted found | withheld |")
    print("|---|---|---|---|---|---|---|")
    for scene in SCENES:
        rates = simulate(scene, repeats=repeats)
        found = f"{100 * rates.found:.1f} %" if scene.effect else ""
        asked = f"| {scene.settings} | {scene.seeds} | {scene.effect or ''} | {'3 x' if scene.unsteady > 1 else ''} |"
        claims, withheld = 100 * (1 - rates.false_claims), 100 * rates.withheld
        print(f"{asked} {claims:.1f} % | {found} | {withheld:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
