"""Controls of the segmentation benchmark, with its real networks and a known answer each.

Held-back real patients stand in for a generator: their slices must be found to help where patients are few. Slices
whose label maps belong to other slices, and noise under random label maps, must not be found to help, and must harm a
network that is trained on nothing else. Copies of the very slices that an arm has already must be found to differ
from them in one of twenty benchmarks at a level of 5 %: each is a choice of some of the trainings, and in each
training it is a toss which of the two is called the copy.

    python benchmarks/segmentation_controls.py             # 32 x 32, about 3 minutes of one core
    python benchmarks/segmentation_controls.py --full      # the quick preset: 64 x 64, about half an hour of one core
"""

import argparse
import itertools
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evaluation.segmentation.crossed import crossed_mean
from evaluation.segmentation.gains import find_gains
from evaluation.segmentation.scores import average_classes, table_of
from evaluation.segmentation.settings import quick_settings
from search.cache import Cache
from search.config import override
from search.downstream.conclude import conclude
from search.downstream.fractions import nested_patients
from search.downstream.of_files import benchmark_files
from search.downstream.segmenters import Segmenters
from search.downstream.spec import BenchmarkSpec
from search.image_folder import Reading
from search.presets import preset
from search.progress import follow
from search.stages import data_stage
from search.tracking import MlflowStore

FRACTION = 0.1
HELD_BACK, SHUFFLED, NOISE, COPIES = "held-back patients", "shuffled label maps", "noise", "copies"
ARMS = ("real", "real duplicated", "real+synthetic", "synthetic")


@dataclass(frozen=True)
class Scene:
    """How large the controls are: data, trainings, and repeats of the null."""

    size: int = 32
    patients: int = 60
    steps: int = 120
    seeds: int = 5
    null_seeds: int = 8

    def config(self):
        """Return the settings of the data; half of the patients train, so that a tenth of them is three."""
        split = {"split.train": 0.5, "split.validation": 0.1, "split.test": 0.4}
        return override(preset("quick"), {"data.patients": self.patients, "prepare.size": self.size} | split)

    def segmenters(self):
        """Return the networks of the quick preset, with as many steps as the scene has."""
        changes = {"steps": self.steps, "validate_every": max(1, self.steps // 4)}
        return Segmenters(quick_settings().model_copy(update=changes))


@dataclass(frozen=True)
class Laboratory:
    """Where benchmarks are run: trainings that two of them share are done once."""

    scene: Scene
    home: Path

    def slices(self, **changes):
        """Return prepared slices."""
        config = override(self.scene.config(), {name.replace("__", "."): value for name, value in changes.items()})
        return follow(data_stage(config, Cache(self.home / "cache"))).data

    def ask(self, name, images, labels, *, arms=ARMS, seeds=None):
        """Return the scores of a benchmark of these slices, with the mean of all classes."""
        path = self.home / f"{name.replace(' ', '_')}.npz"
        np.savez(path, images=(images.numpy() + 1) / 2, labels=labels.numpy())
        spec = BenchmarkSpec(
            arms=arms, fractions=(FRACTION,), seeds=seeds or self.scene.seeds, synthetic_slices=len(images), workers=1
        )
        asked = benchmark_files(
            path,
            "phantom",
            spec,
            config=self.scene.config(),
            reading=Reading(),
            segmentation=self.scene.segmenters(),
            conclude=conclude,
            cache=Cache(self.home / "cache"),
            store=MlflowStore(self.home),
        )
        _, result = follow(asked)
        return average_classes(result.scores, "dice")


def ask_controls(laboratory):
    """Return the gains of Dice over all classes, by control, arm and baseline."""
    other = laboratory.slices(data__seed=77).train  # the same scanner, patients that the split does not know
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(len(other), generator=random)
    noise = torch.rand(other.images.shape, generator=random) * 2 - 1
    classes = torch.randint(0, other.classes, other.labels.shape, generator=random).to(torch.uint8)
    given = {
        HELD_BACK: (other.images, other.labels),
        SHUFFLED: (other.images, other.labels[order].flip(-2)),
        NOISE: (noise, classes),
    }
    return {
        (name, gain.arm, gain.baseline): gain
        for name, slices in given.items()
        for gain in find_gains(laboratory.ask(name, *slices))
    }


def ask_null(laboratory):
    """Return the differences, patients x seeds, between slices doubled and slices with copies of themselves."""
    train = laboratory.slices().train
    own = nested_patients(train.subjects.tolist(), (FRACTION,), seed=0)[FRACTION]
    mine = train.select(torch.isin(train.subjects, torch.tensor(own)))
    arms, seeds = ("real duplicated", "real+synthetic"), laboratory.scene.null_seeds
    scores = laboratory.ask(COPIES, mine.images, mine.labels, arms=arms, seeds=seeds)
    two, one = (table_of([score for score in scores if score.arm == arm])[0] for arm in arms)
    return one - two


def false_claims(differences, *, seeds, level=0.05):
    """Return the share of all choices of so many seeds, and of all their signs, in which a difference is claimed."""
    claims = []
    for chosen in itertools.combinations(range(differences.shape[1]), seeds):
        for signs in itertools.product((1, -1), repeat=seeds - 1):  # the first sign only mirrors the rest
            claims.append(crossed_mean(differences[:, chosen] * np.array([1, *signs])).p_value() < level)
    return float(np.mean(claims)), len(claims)


def main():
    """Print what each control came to, and fail where an answer is not the known one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="at the size of the quick preset")
    parser.add_argument("--keep", type=Path, help="where to keep the differences of the null, as CSV")
    options = parser.parse_args()
    torch.set_num_threads(1)
    scene = Scene(size=64, patients=96, steps=400) if options.full else Scene()
    with tempfile.TemporaryDirectory() as home:
        laboratory = Laboratory(scene, Path(home))
        gains, differences = ask_controls(laboratory), ask_null(laboratory)
    for (control, arm, baseline), gain in gains.items():
        if baseline == "real duplicated" and arm in ("real+synthetic", "synthetic"):
            print(f"{control:20} {gain.sentence(0.95)}")
    for seeds in (3, 5):
        rate, count = false_claims(differences, seeds=seeds)
        print(
            f"{COPIES:20} {seeds} of {differences.shape[1]} seeds: {rate:.1%} of {count} benchmarks claim a difference"
        )
    if options.keep:
        np.savetxt(options.keep, differences, fmt="%.6f", delimiter=",")
    return 0 if answers_hold(gains) else 1


def answers_hold(gains):
    """Return whether real patients help, and neither noise nor shuffled maps do, which harm alone."""
    verdict = {key: gain.verdict(0.95) for key, gain in gains.items()}
    helps = verdict[HELD_BACK, "real+synthetic", "real duplicated"] == "better"
    bad = [name for name in (SHUFFLED, NOISE) if verdict[name, "real+synthetic", "real duplicated"] == "better"]
    harmful = all(verdict[name, "synthetic", "real duplicated"] == "worse" for name in (SHUFFLED, NOISE))
    return helps and not bad and harmful


if __name__ == "__main__":
    sys.exit(main())
