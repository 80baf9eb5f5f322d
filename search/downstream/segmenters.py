"""Segmenters of segmentation_models_pytorch as the benchmark trains them, and what their scores prove."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from evaluation import Table
from evaluation.segmentation.arms import ARMS, find_arm
from evaluation.segmentation.augment import AugmentSettings
from evaluation.segmentation.crossed import CrossedMean
from evaluation.segmentation.forest import draw_forest
from evaluation.segmentation.gains import BASELINES, Gain, arm_means, find_gains
from evaluation.segmentation.scores import score_patients
from evaluation.segmentation.segmenter import predict
from evaluation.segmentation.settings import SegmenterSettings
from evaluation.segmentation.training import train_segmenter
from evaluation.segmentation.types import Score
from sbldm.files import atomic_write
from search.downstream.job import Slices, Task
from search.downstream.result import Conclusion, Means
from search.downstream.spec import BenchmarkSpec

LEAD = "dice"


@dataclass(frozen=True)
class Segmenters:
    """How a segmenter is trained on what an arm makes of real and synthetic slices, and scored on test patients."""

    settings: SegmenterSettings = field(default_factory=SegmenterSettings)
    augmentation: AugmentSettings = field(default_factory=AugmentSettings)
    lesions: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Return how many steps one training takes."""
        return self.settings.steps

    @property
    def arms(self) -> Mapping[str, bool]:
        """Return every arm, and of each whether it asks for synthetic slices."""
        return {name: arm.needs_synthetic for name, arm in ARMS.items()}

    def identity(self) -> Mapping[str, Any]:
        """Return all settings as JSON values."""
        return {
            "settings": self.settings.identity(),
            "augmentation": self.augmentation.model_dump(mode="json"),
            "lesions": list(self.lesions),
        }

    def train_and_score(
        self, task: Task, slices: Slices, device: torch.device
    ) -> Generator[int, None, tuple[Score, ...]]:
        """Yield 1 after each step, and return the scores of every test patient."""
        arm = find_arm(task.arm)
        steps = train_segmenter(
            arm.pool(slices.real, slices.synthetic, ratio=self.settings.ratio),
            slices.validation,
            settings=self.settings,
            seed=task.seed,
            augmentation=self.augmentation if arm.is_augmented else None,
            device=device,
        )
        while True:
            try:
                next(steps)
            except StopIteration as finished:
                model = finished.value.model
                break
            yield 1
        test = slices.synthetic if arm.tested_on == "synthetic" else slices.test
        assert test is not None, "an arm that is tested on synthetic slices asks for them"
        return score_patients(
            test,
            predict(model, test.images),
            arm=task.arm,
            fraction=task.fraction,
            seed=task.seed,
            lesions=self.lesions,
        )


def conclude(scores: tuple[Score, ...], spec: BenchmarkSpec) -> Conclusion:
    """Return what the scores prove: means, gains with their intervals, sentences and a forest plot.

    The forest plot and the sentences are of Dice of the lesions, or where there are none, of the last class.
    """
    means, gains = arm_means(scores), find_gains(scores)
    focus = _focus(scores, spec.lesions)
    told = [gain for gain in gains if (gain.label, gain.metric) == (focus, LEAD)]
    shown = [gain for gain in told if gain.baseline == BASELINES[0]] or told
    synthetic = [gain for gain in told if gain.arm in ARMS and ARMS[gain.arm].trains_on_synthetic]

    def draw(path: Path) -> None:
        form: Literal["png", "svg"] = "svg" if path.suffix == ".svg" else "png"
        atomic_write(path, draw_forest(shown, level=spec.level, form=form))

    return Conclusion(
        tuple(gain.sentence(spec.level) for gain in synthetic),
        _table(means, told, focus, spec.level),
        _plain(means),
        draw,
    )


def _focus(scores: tuple[Score, ...], lesions: tuple[str, ...]) -> str:
    labels = list(dict.fromkeys(score.label for score in scores))
    return next((label for label in labels if label in lesions), labels[-1])


def _table(
    means: Mapping[tuple[str, float, str, str], CrossedMean], gains: list[Gain], focus: str, level: float
) -> Table:
    labels = list(dict.fromkeys(label for _, _, label, metric in means if metric == LEAD))
    cells = list(dict.fromkeys((fraction, arm) for arm, fraction, _, _ in means))
    baselines = [name for name in BASELINES if any(gain.baseline == name for gain in gains)]
    rows = []
    for fraction, arm in sorted(cells, key=lambda cell: cell[0]):
        dice = [_interval(means.get((arm, fraction, label, LEAD)), level) for label in labels]
        against = [
            next((_gain(g, level) for g in gains if (g.arm, g.baseline, g.fraction) == (arm, name, fraction)), "")
            for name in baselines
        ]
        rows.append((f"{fraction:.0%}", arm, *dice, *against))
    return Table(
        title="Does synthetic data help a segmenter?",
        header=(
            "patients",
            "trained on",
            *(f"dice {label} ↑" for label in labels),
            *(f"{focus}: less {b}" for b in baselines),
        ),
        rows=tuple(rows),
        caption=(
            f"Means over test patients and seeds, {level:.0%} intervals for other patients and other trainings (two-way"
            " crossed variance, Satterthwaite degrees of freedom). Verdicts are after Holm over the arms compared with"
            " one baseline at one fraction. All arms take the same number of steps; `real duplicated` has as many"
            " slices in each batch as `real+synthetic`. A class that a patient has in neither map is not scored."
        ),
    )


def _interval(mean: CrossedMean | None, level: float) -> str:
    if mean is None or mean.patients == 0:
        return "—"
    limits = mean.interval(level)
    return f"{mean.point:.3f} [{limits[0]:.3f}, {limits[1]:.3f}]" if limits else f"{mean.point:.3f}"


def _gain(gain: Gain, level: float) -> str:
    limits = gain.mean.interval(level)
    if limits is None:
        return f"{gain.mean.point:+.3f}"
    return f"{gain.mean.point:+.3f} [{limits[0]:+.3f}, {limits[1]:+.3f}]: {gain.verdict(level)}"


def _plain(means: Mapping[tuple[str, float, str, str], CrossedMean]) -> Means:
    plain: Means = {}
    for (arm, fraction, label, metric), mean in means.items():
        plain.setdefault((arm, fraction), {})[f"{metric}/{label}"] = mean.point
    return plain
