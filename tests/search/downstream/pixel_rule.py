"""A segmenter in closed form: the class that a pixel's place and gray value make likeliest, after Bayes.

Other processes import it by this name. It learns where classes lie by counting, so that more patients, or true copies
of more patients, make it better, and label maps that fit no image make it worse.
"""

import os
import signal
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from evaluation import Table
from evaluation.segmentation.types import LabelledSet, Score
from search.cache import Cache
from search.config import ExperimentConfig
from search.downstream.job import Slices, Task
from search.downstream.result import Conclusion
from search.downstream.spec import BenchmarkSpec
from search.downstream.trainings import deal_patients, keep_files, plan_jobs, train_all
from search.stages import data_stage

LEVELS = 24
HEADLINE = {"gain_dice/all classes/real+synthetic at 25": 0.5}
ARMS = {"real": False, "real+synthetic": True, "synthetic": True}


@dataclass(frozen=True)
class PixelRule:
    """Count classes by place and by gray level; one step.

    Attributes:
        dies_at: this training stops its process, as Ctrl-C does.
        killed_at: this training kills its process, as if it were out of memory.
    """

    steps: int = 1
    name: str = "pixel rule"
    dies_at: Task | None = None
    killed_at: Task | None = None
    log: Path | None = None
    arms: Mapping[str, bool] = field(default_factory=lambda: dict(ARMS))

    def identity(self) -> Mapping[str, Any]:
        return {"kind": self.name}

    def train_and_score(
        self, task: Task, slices: Slices, device: torch.device
    ) -> Generator[int, None, tuple[Score, ...]]:
        if task == self.dies_at:
            raise KeyboardInterrupt
        if self.log:
            with self.log.open("a") as file:
                file.write(f"{task.arm} {task.fraction:g} {task.seed}\n")
        if task == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        parts = [slices.real] if "real" in task.arm else []
        parts += [slices.synthetic] if slices.synthetic is not None else []
        predicted = predict(parts, slices.test)
        yield 1
        return tuple(score(task, predicted, slices.test))


def train_real(config: ExperimentConfig, home: Path, rule: PixelRule) -> None:
    """Train the arm of real slices alone, at two fractions with three seeds, one after the other."""
    cache = Cache(home / "cache")
    data = _finish(data_stage(config, cache)).data
    spec = BenchmarkSpec(arms=("real",), fractions=(0.25, 1.0))
    files = _finish(keep_files(data, cache))
    jobs = plan_jobs(spec, deal_patients(spec, data), files, {}, segmentation=rule, cache=cache, device="cpu")
    _finish(train_all(jobs, workers=1, device="cpu"))


def _finish(events: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(events)
        except StopIteration as finished:
            return finished.value


def predict(parts: list[LabelledSet], test: LabelledSet) -> UInt8[Tensor, "n h w"]:
    images, labels = (torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels"))
    classes = 1 + len(test.names)
    hot = torch.nn.functional.one_hot(labels.long(), classes).double()  # n h w c
    place = torch.nn.functional.avg_pool2d(hot.mean(0).movedim(-1, 0)[None], 3, 1, 1)[0].movedim(0, -1) + 1e-3
    gray = torch.zeros(LEVELS, classes, dtype=torch.double)
    gray.index_add_(0, level(images).flatten(), hot.flatten(0, 2))
    likelihood = (gray + 1) / (gray + 1).sum(0)
    return (likelihood[level(test.images)[:, 0]] * place).argmax(-1).to(torch.uint8)


def level(images: Tensor) -> Tensor:
    return (images * (LEVELS - 1)).round().long()


def score(task: Task, predicted: Tensor, test: LabelledSet) -> Generator[Score, None, None]:
    for patient in torch.unique(test.groups).tolist():
        mine = test.groups == patient
        for number, name in enumerate(test.names, start=1):
            one, two = predicted[mine] == number, test.labels[mine] == number
            both = int(one.sum() + two.sum())
            value = 2 * int((one & two).sum()) / both if both else float("nan")
            yield Score(task.arm, task.fraction, task.seed, patient, name, "dice", value)


def conclude(scores: tuple[Score, ...], spec: BenchmarkSpec) -> Conclusion:
    means: dict[tuple[str, float], dict[str, float]] = {}
    for arm, fraction in sorted({(each.arm, each.fraction) for each in scores}):
        mine = [each for each in scores if (each.arm, each.fraction) == (arm, fraction)]
        values = torch.tensor([each.value for each in mine])
        means[arm, fraction] = {"dice": float(values.nanmean())}
    rows = tuple((arm, f"{fraction:g}", f"{found['dice']:.3f}") for (arm, fraction), found in means.items())
    return Conclusion(("Dice by hand.",), Table("Arms", ("arm", "fraction", "dice"), rows), means, draw, {}, HEADLINE)


def draw(path: Path) -> None:
    if path.suffix == ".png":
        Image.new("L", (8, 8)).save(path)
    else:
        path.write_text("<svg/>")
