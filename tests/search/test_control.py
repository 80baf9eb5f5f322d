"""What samples were told against what they show: through the cache, in words where nothing shows, and per request."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sbldm.data import PhantomSpec
from search.cache import Cache
from search.config import ExperimentConfig, build_config
from search.control import ToldSlices, compare_sides, describe_request, describe_samples, measure_control
from search.events import StageFinished
from search.experiment import train_stages
from search.runs import OpenedRun
from search.sampling import Samples, read_positions, sample_stage
from search.stages import Prepared, Trained, data_stage
from search.volumes import volume_run

Follow = Callable[..., tuple[list[Any], Any]]
STATISTICS = ("correlation", "slope", "bias", "absolute_error")
PHANTOM = {"patients": 6, "slices": 4, "size": 32, "lesion_probability": 1.0, "lesion_radius_mm": (12.0, 30.0)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def config(tiny: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """Lesions are told by the phantom, an age by a file."""
    table = tmp_path_factory.mktemp("told") / "numbers.csv"
    table.write_text("patient,age\n" + "".join(f"phantom-{index:05d},{40 + index}\n" for index in range(14)))
    lesions = {"lesion_probability": 1.0, "lesion_conditions": ["volume", "area"], "conditions": table}
    data = tiny.data.model_dump(mode="python", context={"complete": True}) | lesions
    return build_config(tiny.model_dump(mode="python") | {"data": data})


@pytest.fixture(scope="module")
def prepared(config: ExperimentConfig, cache: Cache, follow: Follow) -> Prepared:
    found: Prepared = follow(data_stage(config, cache))[1]
    return found


@pytest.fixture(scope="module")
def trained(config: ExperimentConfig, prepared: Prepared, cache: Cache, follow: Follow) -> Trained:
    found: Trained = follow(train_stages(config, prepared.data, cache))[1]
    return found


@pytest.fixture(scope="module")
def samples(config: ExperimentConfig, trained: Trained, cache: Cache, follow: Follow) -> Samples:
    fixed: dict[str, Any] = {"sampler": config.sampler, "count": 12, "seed": 0, "batch": 4, "device": "cpu"}
    drawn: Samples = follow(sample_stage(trained.model, trained.digest, cache=cache, **fixed))[1]
    return drawn


def tell(source: PhantomSpec, change: Callable[[torch.Tensor], torch.Tensor] = lambda labels: labels) -> ToldSlices:
    """Return a phantom's own slices with what it says of them, their label maps changed."""
    volumes = [source.read(subject) for subject in source.subjects()]
    labels = [volume.labels for volume in volumes if volume.labels is not None]
    known = torch.cat([volume.known for volume in volumes if volume.known is not None])
    return ToldSlices(
        change(torch.cat(labels)),
        torch.cat([volume.position for volume in volumes]),
        dict(zip(source.known_names, known.T, strict=True)),
        torch.arange(len(volumes)).repeat_interleave(source.slices),
    )


def test_each_number_that_shows_is_measured_on_samples_real_slices_and_reconstructions(
    config: ExperimentConfig, prepared: Prepared, trained: Trained, samples: Samples, cache: Cache, follow: Follow
) -> None:
    found = follow(measure_control(config, prepared.data, trained, samples, cache))[1]
    measured = {
        f"{side}/control_{name}_{of}"
        for side in ("eval", "floor", "reconstruction")
        for name in STATISTICS
        for of in ("volume", "area")
    }
    assert set(found.results) == measured | {"eval/control_correlation_age"}
    real = [found.results[f"floor/control_{name}_area"] for name in ("slope", "correlation", "absolute_error")]
    assert [each.point for each in real] == pytest.approx([1, 1, 0], abs=1e-6)
    assert real[0].n == {"slices": len(prepared.data.test), "patients": len(prepared.data.test.subjects.unique())}
    assert found.pictures["control"].read_bytes().startswith(b"\x89PNG")
    events, again = follow(measure_control(config, prepared.data, trained, samples, cache))
    assert again.results == found.results
    assert [event.cached for event in events if isinstance(event, StageFinished)] == [True]


def test_what_label_maps_do_not_show_is_said_in_words(
    config: ExperimentConfig, prepared: Prepared, trained: Trained, samples: Samples, cache: Cache, follow: Follow
) -> None:
    age = follow(measure_control(config, prepared.data, trained, samples, cache))[1].results[
        "eval/control_correlation_age"
    ]
    assert math.isnan(age.point)
    assert age.interval == "refused: label maps do not show it"


def test_without_conditions_nothing_is_measured_and_no_stage_runs(
    tiny: ExperimentConfig, prepared: Prepared, trained: Trained, cache: Cache, follow: Follow
) -> None:
    images = torch.zeros(3, 1, 32, 32)
    plain = Samples(images, images[:, 0].byte(), Path("samples") / "digest" / "samples.npz", 0.0, 0.0)
    events, found = follow(measure_control(tiny, prepared.data, trained, plain, cache))
    assert (events, found.results, found.pictures) == ([], {}, {})


def test_half_a_lesion_has_half_the_slope_of_a_whole_one() -> None:
    """Every second row of each lesion is taken away, about half of its area."""
    source = PhantomSpec.model_validate(PHANTOM | {"lesion_conditions": ["area"]})

    def halve(labels: torch.Tensor) -> torch.Tensor:
        halved = labels.clone()
        halved[:, ::2][halved[:, ::2] == 4] = 3
        return halved

    results, panels = compare_sides(source, {"eval": tell(source, halve)}, ("area",), level=0.95)
    assert results["eval/control_slope_area"].point == pytest.approx(0.5, abs=0.05)
    assert results["eval/control_correlation_area"].point > 0.98
    assert results["eval/control_bias_area"].high < 0  # type: ignore[operator]
    assert [panel.name for panel in panels] == ["area"]


def test_slices_without_any_lesion_have_no_middle_and_say_so() -> None:
    source = PhantomSpec.model_validate(PHANTOM | {"lesion_conditions": ["x"]})
    blank = tell(source, torch.zeros_like)
    results, _ = compare_sides(source, {"eval": blank, "floor": blank}, ("x",), level=0.95)
    assert [(name, each.interval) for name, each in results.items()] == [
        ("eval/control_correlation_x", "refused: only 0 slices show it")
    ]


def test_a_request_is_told_with_what_the_slices_show() -> None:
    source = PhantomSpec.model_validate(PHANTOM | {"lesion_conditions": ["volume", "area"]})
    slices = tell(source)
    mean = float(slices.requested["volume"].mean())
    volume, age = describe_request(source, slices, {"volume": 1200.0, "age": 50.0}, level=0.95)
    assert volume.startswith(f"volume: asked for 1200 mm^3; 24 slices show {mean:.4g} [")
    assert age == "age: asked for 50; label maps do not show it"


def test_whole_volumes_are_told_with_what_they_show(
    config: ExperimentConfig,
    prepared: Prepared,
    trained: Trained,
    cache: Cache,
    follow: Follow,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search.volumes.draw_volumes", lambda views, path, **_: path)
    tags = {"sbldm.data_entry": prepared.digest, "sbldm.split": prepared.data.split_digest}
    run = OpenedRun(SimpleNamespace(run_id="0123456789", tags=tags), config, trained)  # type: ignore[arg-type]
    assert trained.model.conditioner is not None
    wish = float(trained.model.conditioner.rows.values[:, 0].max())
    asked = volume_run(run, 2, seed=0, cache=cache, out=tmp_path, conditions={"volume": wish})
    files = follow(asked)[1]
    assert len(files.request) == 1
    assert files.request[0].startswith(f"volume: asked for {wish:g} mm^3; 8 slices show ")
    assert not follow(volume_run(run, 2, seed=0, cache=cache, out=tmp_path))[1].request


def test_samples_of_which_nothing_was_asked_are_told_without_a_line(config: ExperimentConfig, samples: Samples) -> None:
    assert describe_samples(config, samples, {}) == ()
    assert describe_samples(config, samples, {"age": 50.0}) == ("age: asked for 50; label maps do not show it",)


def test_the_positions_of_samples_are_read_back(samples: Samples, trained: Trained) -> None:
    assert set(read_positions(samples.path).tolist()) <= set(trained.model.positions.tolist())
