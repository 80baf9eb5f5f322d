"""One segmenter trained: a fixed number of steps in every arm, and one rule for which weights are kept."""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from evaluation.label_agreement import dice_scores
from evaluation.segmentation.augment import AugmentSettings, augment
from evaluation.segmentation.loss import segmentation_loss
from evaluation.segmentation.pool import Pool, draw_batch
from evaluation.segmentation.seeding import derive_seed, generator
from evaluation.segmentation.segmenter import Segmenter, build_segmenter, predict
from evaluation.segmentation.settings import SegmenterSettings
from evaluation.segmentation.types import LabelledSet

CPU = torch.device("cpu")


@dataclass(frozen=True)
class SegmenterStep:
    """What a watcher may know of one step, counted from 1.

    Attributes:
        dice: mean foreground Dice of the validation patients after a step that looks at them, else None.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    dice: float | None = None


@dataclass(frozen=True, eq=False)
class TrainedSegmenter:
    """The weights kept, in eval mode, and why these.

    Attributes:
        step: after which they were taken.
        dice: of the validation patients at that step, or None where there are none.
        rule: in words.
    """

    model: Segmenter
    step: int
    dice: float | None
    rule: str


def train_segmenter(
    pool: Pool,
    validation: LabelledSet | None,
    *,
    settings: SegmenterSettings,
    seed: int,
    augmentation: AugmentSettings | None = None,
    device: torch.device = CPU,
) -> Generator[SegmenterStep, None, TrainedSegmenter]:
    """Yield a record of each step, and return the weights with the best Dice on validation patients.

    First weights and batches depend on the seed alone, so that arms of one seed differ in their slices only. On a CPU
    the same arguments return the same weights.

    Args:
        pool: what the arm draws from.
        validation: real slices of patients that no arm trains on; without them the last weights are kept.
        settings: of network and training.
        seed: of first weights, batches and augmentation.
        augmentation: of every slice drawn, or None.
        device: where to train.

    Raises:
        ValueError: the validation patients show no class, or other classes than the pool.
        FloatingPointError: loss or gradient is not finite.
    """
    if validation is not None:
        _check_validation(validation, pool)
    return (yield from _Run(pool, validation, settings, seed, augmentation, device).steps())


class _Run:
    """The state of one call of ``train_segmenter``."""

    def __init__(
        self,
        pool: Pool,
        validation: LabelledSet | None,
        settings: SegmenterSettings,
        seed: int,
        augmentation: AugmentSettings | None,
        device: torch.device,
    ) -> None:
        self.pool, self.validation, self.settings = pool, validation, settings
        self.seed, self.augmentation, self.device = seed, augmentation, device
        model = build_segmenter(settings, len(pool.names), seed)
        self.model = model.to(device).to(memory_format=torch.channels_last)  # a quarter less time on a CPU
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.kept: tuple[int, float | None, dict[str, Tensor] | None] = (settings.steps, None, None)

    def steps(self) -> Generator[SegmenterStep, None, TrainedSegmenter]:
        for step in range(1, self.settings.steps + 1):
            started = time.perf_counter()
            rate = self.settings.rate(step)
            loss = self._advance(step, rate)
            dice = self._validate(step)
            yield SegmenterStep(step, self.settings.steps, loss, rate, time.perf_counter() - started, dice)
        return self._finish()

    def _advance(self, step: int, rate: float) -> float:
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images, labels = self._batch(step)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self.seed, "layers", step))
            scores = self.model(images.to(self.device, memory_format=torch.channels_last))
        loss = segmentation_loss(scores, labels.to(self.device), self.settings)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), 10.0))
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise FloatingPointError(
                f"segmenter step {step}: loss and gradient must be finite, but they are {value} and {norm};"
                " lower learning_rate"
            )
        self.optimizer.step()
        return value

    def _batch(self, step: int) -> tuple[Float[Tensor, "b 1 h w"], UInt8[Tensor, "b h w"]]:
        parts = []
        for draw in draw_batch(self.pool, step, self.seed, batch=self.settings.batch):
            part = draw.images.float(), draw.labels
            if self.augmentation is not None:
                part = augment(*part, self.augmentation, generator(self.seed, "augment", draw.stream, step))
            parts.append(part)
        return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])

    def _validate(self, step: int) -> float | None:
        due = step % self.settings.validate_every == 0 or step == self.settings.steps
        if self.validation is None or not due:
            return None
        predicted = predict(self.model, self.validation.images)
        scores = dice_scores(
            self.validation.labels, predicted, self.validation.groups, classes=len(self.validation.names)
        )
        dice = float(np.nanmean(scores))
        best = self.kept[1]
        if best is None or dice > best:
            self.kept = step, dice, {name: value.clone() for name, value in self.model.state_dict().items()}
        return dice

    def _finish(self) -> TrainedSegmenter:
        step, dice, weights = self.kept
        if weights is not None:
            self.model.load_state_dict(weights)
        if self.validation is None:
            rule = "the last weights, for there are no validation patients"
        else:
            rule = (
                f"the earliest weights with the best mean foreground Dice on {self.validation.patients} validation"
                f" patients, looked at every {self.settings.validate_every} steps and after the last"
            )
        return TrainedSegmenter(self.model.eval(), step, dice, rule)


def _check_validation(validation: LabelledSet, pool: Pool) -> None:
    if validation.names != pool.names:
        raise ValueError(f"validation must have the classes of the pool, {pool.names}, but got {validation.names}")
    if not bool(validation.labels.any()):
        raise ValueError(f"validation patients must show a class, but the {validation.patients} given show background")
