from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sbldm.data import PreparedData
from sbldm.latent import LatentCodec
from search.cache import Cache
from search.config import ExperimentConfig
from search.events import StageFinished
from search.label_yardsticks import measure_labels, reconstruct_labels
from search.sampling import Samples
from search.stages import codec_stage, data_stage

Follow = Callable[..., tuple[list[Any], Any]]
TISSUES = ("csf", "gm", "wm")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def data(tiny: ExperimentConfig, cache: Cache, follow: Follow) -> PreparedData:
    prepared: PreparedData = follow(data_stage(tiny, cache))[1].data
    return prepared


@pytest.fixture(scope="module")
def codec(tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow) -> LatentCodec:
    made: LatentCodec = follow(codec_stage(tiny, data, cache))[1][0]
    return made


@pytest.fixture(scope="module")
def measure(
    tiny: ExperimentConfig, data: PreparedData, codec: LatentCodec, cache: Cache, follow: Follow
) -> Callable[..., Any]:
    """Measure test slices as if a model had drawn them."""
    from types import SimpleNamespace

    trained: Any = SimpleNamespace(model=SimpleNamespace(codec=codec), codec_digest="codec")
    labels = data.test.labels
    samples = Samples(data.test.images, labels, Path("samples") / "digest" / "samples.npz", 0.0, 0.0)

    def run(data: PreparedData = data, samples: Samples = samples) -> tuple[list[Any], Any]:
        return follow(measure_labels(tiny, data, trained, samples, cache))

    return run


def test_every_class_has_a_dice_a_share_a_floor_and_a_gap(measure: Callable[..., Any]) -> None:
    results = measure()[1]
    names = ("reconstruction/dice", "eval/share", "eval/share_gap", "floor/share")
    assert set(results) == {f"{name}_{tissue}" for name in names for tissue in TISSUES}


def test_samples_that_are_the_test_slices_show_as_much_of_each_class(
    measure: Callable[..., Any], data: PreparedData
) -> None:
    results = measure()[1]
    for kind, tissue in enumerate(TISSUES, start=1):
        share = float((data.test.labels == kind).double().mean())
        assert results[f"eval/share_{tissue}"].point == pytest.approx(share, rel=1e-9)
        assert results[f"floor/share_{tissue}"].point == pytest.approx(share, rel=1e-9)
        assert results[f"eval/share_gap_{tissue}"].point == pytest.approx(0, abs=1e-12)
        real, alone = results[f"floor/share_{tissue}"].n, results[f"eval/share_{tissue}"].n
        assert (real["patients"], alone["patients"]) == (len(data.test.subjects.unique()), len(data.test))


def test_dice_is_that_of_the_reconstructed_label_maps(
    measure: Callable[..., Any], data: PreparedData, codec: LatentCodec
) -> None:
    rebuilt, test, results = reconstruct_labels(codec, data.test), data.test, measure()[1]
    scores = []
    for patient in test.subjects.unique():
        one, other = (maps[test.subjects == patient] == 2 for maps in (test.labels, rebuilt))
        scores.append(float(2 * (one & other).sum() / (one.sum() + other.sum())))
    assert results["reconstruction/dice_gm"].point == pytest.approx(sum(scores) / len(scores), rel=1e-6)
    assert 0 < results["reconstruction/dice_gm"].point < 1


def test_labels_are_measured_once_and_read_again(measure: Callable[..., Any]) -> None:
    first = measure()[1]
    events, again = measure()
    assert again == first
    assert [event.cached for event in events if isinstance(event, StageFinished)] == [True, True]


def test_other_samples_are_measured_anew(measure: Callable[..., Any], data: PreparedData) -> None:
    empty = torch.zeros_like(data.test.labels)
    other = Samples(data.test.images, empty, Path("samples") / "other" / "samples.npz", 0.0, 0.0)
    results = measure(samples=other)[1]
    assert results["eval/share_gm"].point == 0
    assert results["eval/share_gap_gm"].high < 0


def test_without_labels_or_with_one_patient_nothing_is_measured(
    measure: Callable[..., Any], data: PreparedData
) -> None:
    bare = {
        part: replace(getattr(data, part), labels=torch.zeros_like(getattr(data, part).labels), label_names=())
        for part in ("train", "validation", "test")
    }
    alone = data.test.select(data.test.subjects == 0)
    assert measure(data=replace(data, **bare)) == ([], {})
    assert measure(data=replace(data, test=alone)) == ([], {})
