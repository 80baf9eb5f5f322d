from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from sbldm.data import PreparedData, SliceSet
from sbldm.errors import ConfigError, DataError
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.downstream.of_files import UNKNOWN, benchmark_files
from search.downstream.result import BenchmarkResult, describe_benchmark
from search.downstream.spec import BenchmarkSpec
from search.image_folder import Reading
from search.stages import data_stage
from search.tracking import MlflowStore

Follow = Callable[..., tuple[list[Any], Any]]
Ask = Callable[..., tuple[str, BenchmarkResult]]
SPEC = BenchmarkSpec(fractions=(0.25, 1.0), workers=1)


@pytest.fixture
def ask(tmp_path: Path, tiny: ExperimentConfig, store: MlflowStore, follow: Follow, rule: ModuleType) -> Ask:
    def run(slices: SliceSet, spec: BenchmarkSpec = SPEC, **changes: Any) -> tuple[str, BenchmarkResult]:
        path = tmp_path / "made.npz"
        np.savez(path, images=(slices.images.numpy() + 1) / 2, labels=slices.labels.numpy())
        events = benchmark_files(
            path,
            "phantom",
            spec,
            config=override(tiny, changes),
            reading=Reading(),
            segmentation=rule.PixelRule(log=tmp_path / "log"),
            conclude=rule.conclude,
            cache=Cache(tmp_path / "cache"),
            store=store,
        )
        return follow(events)[1]  # type: ignore[no-any-return]

    return run


@pytest.fixture(scope="session")
def others(tiny: ExperimentConfig, shared_cache: Cache, follow: Follow) -> SliceSet:
    """Slices of phantom patients that the split does not know."""
    more = override(tiny, {"data.seed": 77, "data.patients": 30})
    return follow(data_stage(more, shared_cache))[1].data.train  # type: ignore[no-any-return]


def gains(result: BenchmarkResult, fraction: float) -> list[float]:
    """Return what synthetic slices add to the Dice of each patient and class, by hand."""
    means = {}
    for arm in ("real", "real+synthetic"):
        for each in result.scores:
            if (each.arm, each.fraction) == (arm, fraction) and each.value == each.value:
                means.setdefault((each.patient, each.label), {}).setdefault(arm, []).append(each.value)
    return [float(np.mean(found["real+synthetic"]) - np.mean(found["real"])) for found in means.values()]


def test_real_slices_of_other_patients_are_a_gain_where_patients_are_few(ask: Ask, others: SliceSet) -> None:
    _, result = ask(others, SPEC.model_copy(update={"synthetic_ratio": 8.0}))
    few = gains(result, 0.25)
    assert np.mean(few) > 0.01
    assert np.mean(np.array(few) > 0) > 0.8
    assert np.mean(few) > 3 * np.mean(gains(result, 1.0))  # what is known already is no gain


def test_label_maps_of_other_images_are_no_gain(ask: Ask, others: SliceSet) -> None:
    order = torch.randperm(len(others), generator=torch.Generator().manual_seed(0))
    shuffled = SliceSet(
        others.images, others.labels[order].flip(-1), others.subjects, others.positions, others.label_names
    )
    _, result = ask(shuffled, SPEC.model_copy(update={"synthetic_ratio": 8.0}))
    assert np.mean(gains(result, 0.25)) < 0


def test_noise_is_no_gain(ask: Ask, others: SliceSet) -> None:
    random = torch.Generator().manual_seed(0)
    noise = SliceSet(
        torch.rand(others.images.shape, generator=random) * 2 - 1,
        torch.randint(0, 4, others.labels.shape, generator=random).to(torch.uint8),
        others.subjects,
        others.positions,
        others.label_names,
    )
    _, result = ask(noise, SPEC.model_copy(update={"synthetic_ratio": 8.0}))
    assert np.mean(gains(result, 0.25)) < 0


def test_a_test_slice_among_the_files_stops_everything(
    ask: Ask, others: SliceSet, tiny_data: PreparedData, tmp_path: Path
) -> None:
    images = torch.cat([others.images, tiny_data.test.images[2:3]])
    labels = torch.cat([others.labels, tiny_data.test.labels[2:3]])
    leaky = SliceSet(
        images, labels, torch.zeros(len(images), dtype=torch.int64), torch.zeros(len(images)), others.label_names
    )
    with pytest.raises(DataError, match=r"no table is shown, .*no synthetic slice may equal a test slice"):
        ask(leaky)
    assert not (tmp_path / "log").exists()  # nothing was trained


def test_the_audit_of_files_says_what_it_cannot_know(ask: Ask, others: SliceSet) -> None:
    _, result = ask(others)
    assert UNKNOWN in result.sentences()
    assert UNKNOWN in describe_benchmark(result, "md")
    assert result.audit.to_json()["unknown"] == [UNKNOWN]


def test_slices_of_another_size_are_refused(ask: Ask, others: SliceSet) -> None:
    small = SliceSet(
        others.images[..., :16, :16],
        others.labels[..., :16, :16],
        others.subjects,
        others.positions,
        others.label_names,
    )
    with pytest.raises(DataError, match="the synthetic slices are 16 x 16 and the real ones 32 x 32"):
        ask(small)


def test_an_unknown_arm_is_refused_with_a_hint(ask: Ask, others: SliceSet) -> None:
    with pytest.raises(ConfigError, match="unknown arm 'reel' - did you mean 'real'"):
        ask(others, SPEC.model_copy(update={"arms": ("reel",)}))


def test_few_files_serve_all_seeds_and_many_are_dealt_out(ask: Ask, others: SliceSet) -> None:
    _, few = ask(others.select(torch.arange(5)))
    assert [each["synthetic_slices"] for each in few.facts["fractions"]] == [5, 5]
    _, many = ask(others)
    assert [each["synthetic_slices"] for each in many.facts["fractions"]] == [
        each["real_slices"] for each in many.facts["fractions"]
    ]
