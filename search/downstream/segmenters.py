"""Segmenters of segmentation_models_pytorch as the benchmark trains and scores them."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from evaluation.segmentation.arms import ARMS, find_arm
from evaluation.segmentation.augment import AugmentSettings
from evaluation.segmentation.scores import score_patients
from evaluation.segmentation.segmenter import predict
from evaluation.segmentation.settings import SegmenterSettings
from evaluation.segmentation.training import train_segmenter
from evaluation.segmentation.types import Score
from search.downstream.job import Slices, Task


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
