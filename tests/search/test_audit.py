import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import search.audit
from sbldm.data import PreparedData
from search.audit import Audited, audit_stage
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.events import StageFinished
from search.measure import Judge, to_images
from search.sampling import Samples
from search.stages import data_stage

Follow = Callable[..., tuple[list[Any], Any]]
Audit = Callable[..., tuple[list[Any], Audited]]
COPIES = 6


@pytest.fixture(scope="module")
def drawn() -> Iterator[list[Path]]:
    """Replace the drawing, which has tests of its own, by a list of what was drawn."""
    paths: list[Path] = []

    def draw(audit: object, train: object, generated: object, path: Path) -> None:
        path.write_bytes(b"drawn")
        paths.append(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.audit, "draw_nearest_pairs", draw)
        yield paths


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def data(tiny: ExperimentConfig, cache: Cache, follow: Follow) -> PreparedData:
    more = override(
        tiny, {"data.patients": 30, "data.slices": 3, "split.train": 0.5, "split.validation": 0.2, "split.test": 0.3}
    )
    prepared: PreparedData = follow(data_stage(more, cache))[1].data
    return prepared


@pytest.fixture(scope="module")
def run(tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow, drawn: list[Path]) -> Audit:
    """Audit six training slices and six test slices, as if a model had drawn them."""
    images = torch.cat([to_images(data.train).images[: 5 * COPIES : 5], to_images(data.test).images[::3][:COPIES]])
    labels = torch.zeros(len(images), *images.shape[-2:], dtype=torch.uint8)
    samples = Samples(images, labels, cache.root / "samples" / "digest" / "samples.npz", 0.0, 0.0)

    def audit(config: ExperimentConfig = tiny, data: PreparedData = data) -> tuple[list[Any], Audited]:
        return follow(audit_stage(config, data, samples, Judge(config.evaluation, cache), cache))

    return audit


def test_copies_of_training_patients_break_both_constraints(run: Audit) -> None:
    audited = run()[1]
    assert set(audited.results) == {
        f"{part}/copies_{space}" for part in ("eval", "floor") for space in ("fake", "pixel")
    }
    assert set(audited.constraints) == {"fake", "pixel"}
    assert min(audited.constraints.values()) > 0
    for space in ("fake", "pixel"):
        assert audited.results[f"eval/copies_{space}"].point == pytest.approx(0.5)
        assert audited.results[f"floor/copies_{space}"].point < 0.1


def test_validation_and_training_patients_calibrate_and_test_patients_are_not_looked_at(
    run: Audit, data: PreparedData
) -> None:
    n = run()[1].results["eval/copies_pixel"].n
    patients = [to_images(part).patients for part in (data.train, data.validation)]
    assert [n["real_patients"], n["held_out_patients"], n["reference_patients"]] == [*patients, sum(patients)]
    assert n["real"] == len(data.train)


def test_an_audit_is_done_once_and_read_again(run: Audit, drawn: list[Path]) -> None:
    _, first = run()
    events, again = run()
    assert again == first
    assert len(drawn) == len(set(drawn)), "no picture is drawn twice"
    assert [(event.stage, event.cached) for event in events if isinstance(event, StageFinished)] == [("audit", True)]


def test_training_patients_are_shown_only_where_they_may_be(
    tiny: ExperimentConfig, run: Audit, drawn: list[Path]
) -> None:
    source = tiny.data.model_copy(update={"kind": "folder"})
    private = tiny.model_copy(update={"data": source, "evaluation": tiny.evaluation.model_copy(update={"level": 0.9})})
    drawn.clear()
    assert run(private)[1].pictures == {}
    assert drawn == []
    allowed = private.evaluation.model_copy(update={"log_real_images": True})
    pictures = run(private.model_copy(update={"evaluation": allowed}))[1].pictures
    assert set(pictures) == {"copies_fake", "copies_pixel"}
    assert sorted(pictures.values()) == sorted(drawn), "what was kept without pictures is not taken for it"


def test_the_record_names_each_pair_for_whoever_looks_closer(run: Audit) -> None:
    audited = run()[1]
    record = json.loads((audited.pictures["copies_pixel"].parent / "copies.json").read_text())
    pairs = record["pixel"]["audit"]["pairs"]
    assert sorted((pair["generated"], pair["train"]) for pair in pairs[:COPIES]) == [(i, 5 * i) for i in range(COPIES)]


def test_two_training_patients_are_too_few_to_audit(run: Audit, data: PreparedData) -> None:
    few = replace(data, train=data.train.select(data.train.subjects < 2))
    events, audited = run(data=few)
    assert (events, audited.results, audited.constraints) == ([], {}, {})
