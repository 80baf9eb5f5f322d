"""The smallest experiment that passes through every part, measured by an extractor without a network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import search.audit
import search.measure
import search.report
import search.yardsticks
from evaluation import FeatureSet, ImageSet, MetricResult, psnr
from search.config import ExperimentConfig, build_config
from search.runner import StudyEvent, run_study
from search.study import Study
from search.tracking import MlflowStore

torch.set_num_threads(1)  # on tensors this small, waiting threads only cost

STEPS = {"steps": 6, "batch": 4, "learning_rate": 1e-3, "ema_decay": 0.5}
TINY: dict[str, Any] = {
    "data": {"kind": "phantom", "patients": 14, "slices": 4, "size": 32},
    "prepare": {"size": 32},
    "autoencoder": {"kind": "patch", "hidden_dims": [4, 4], "latent_channels": 3},
    "autoencoder_training": STEPS,
    "network": {"kind": "plain", "model_channels": 8, "blocks": 1},
    "training": STEPS,
    "sampler": {"kind": "ddim", "steps": 2},
    "evaluation": {"samples": 12, "companion": None},
    "device": "cpu",
}
MIXING = Study(
    name="mixing",
    question="Does mixing change anything?",
    axes={"cutmix.probability": (0.0, 1.0)},
    baseline="cutmix.probability=0",
    run_time="seconds",
)


class Pooling:
    """Rows of 64 mean brightnesses."""

    name = "fake"
    width = 64
    preparation = "pooled to 8 x 8"
    identity = pass_identity = "fake@0"
    columns = slice(None)

    def run_pass(self, images: ImageSet, batch_size: int = 64) -> Any:
        return torch.nn.functional.adaptive_avg_pool2d(images.images.double(), 8).flatten(1).numpy()

    def extract(self, images: ImageSet, batch_size: int = 64) -> FeatureSet:
        return FeatureSet(self.run_pass(images), images.groups.numpy(), self.name)


def fake_perception(truth: ImageSet, rebuilt: ImageSet, *, level: float) -> MetricResult:
    return replace(psnr(truth, rebuilt, level=level), name="perceptual_fake")


def fake_drawing(*arguments: object, **_: object) -> Path:
    path = next(each for each in arguments if isinstance(each, Path))
    Image.new("L", (8, 8)).save(path)
    return path


@pytest.fixture(scope="session", autouse=True)
def _measure_in_no_time() -> Iterator[None]:
    """Replace what takes seconds and has tests of its own: the networks that judge, and the drawing of figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.yardsticks, "draw_grid", fake_drawing)
        patch.setattr(search.audit, "draw_nearest_pairs", fake_drawing)
        patch.setattr(search.report, "draw_curve", fake_drawing)
        patch.setattr(search.yardsticks, "draw_error_map", fake_drawing)
        patch.setattr(search.measure, "build_extractor", lambda name, weights: Pooling())
        patch.setattr(search.measure, "perceptual_distance", fake_perception)
        yield


@pytest.fixture(scope="session")
def tiny() -> ExperimentConfig:
    return build_config(TINY)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> MlflowStore:
    """One database for all tests, since making one takes seconds: give each study a name of its own."""
    return MlflowStore(tmp_path_factory.mktemp("store"))


@dataclass(frozen=True)
class Finished:
    """A study of two trials that has run to its end."""

    study: Study
    name: str
    home: Path
    parent: str
    events: tuple[StudyEvent, ...]


@pytest.fixture(scope="session")
def mixing() -> Study:
    return MIXING


@pytest.fixture(scope="session")
def follow() -> Callable[..., tuple[list[Any], Any]]:
    """Run a generator to its end and return what it yielded and what it returned."""

    def run(events: Any) -> tuple[list[Any], Any]:
        seen = []
        while True:
            try:
                seen.append(next(events))
            except StopIteration as finished:
                return seen, finished.value

    return run


@pytest.fixture(scope="session")
def finished(
    tiny: ExperimentConfig,
    store: MlflowStore,
    tmp_path_factory: pytest.TempPathFactory,
    follow: Callable[..., tuple[list[Any], Any]],
) -> Finished:
    home = tmp_path_factory.mktemp("home")
    events, parent = follow(run_study(MIXING, tiny, seeds=[0], home=home, store=store, name="mixing"))
    return Finished(MIXING, "mixing", home, parent, tuple(events))
