import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation import kernel_distance, psnr
from evaluation.compare import STATISTICS
from evaluation.distances import Distances
from sbldm.errors import RunError
from search.cache import Cache
from search.comparison import ComparisonResult, compare_runs
from search.config import ExperimentConfig, override
from search.events import StageFinished
from search.gather import gather, label_runs, open_runs
from search.measure import Judge, reconstruct, to_images
from search.runner import TrialFinished
from search.runs import OpenedRun, open_run, train_run
from search.tracking import MlflowStore

Follow = Callable[..., tuple[list[Any], Any]]
METRICS = [
    "kid_fake",
    "fd_fake",
    "population_fd_fake",
    "precision_fake",
    "recall_fake",
    "density_fake",
    "coverage_fake",
]


@pytest.fixture(scope="module")
def cache(finished: Any) -> Cache:
    return Cache(finished.home / "cache")


@pytest.fixture(scope="module")
def opened(finished: Any, cache: Cache, store: MlflowStore) -> list[OpenedRun]:
    """Both trials of the study: without mixing and with it, at one seed."""
    ids = [event.run_id for event in finished.events if isinstance(event, TrialFinished)]
    return [open_run(run_id, cache=cache, store=store) for run_id in ids]


@pytest.fixture(scope="module")
def reseeded(tiny: ExperimentConfig, cache: Cache, store: MlflowStore, follow: Follow) -> OpenedRun:
    """The first setting, trained once more at another seed and with another autoencoder."""
    config = override(tiny, {"seed": 1, "autoencoder_seed": 1})
    _, (run_id, _) = follow(train_run(config, name="reseeded", cache=cache, store=store))
    return open_run(run_id, cache=cache, store=store)


@pytest.fixture(scope="module")
def compared(opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow) -> ComparisonResult:
    result: ComparisonResult = follow(compare_runs(opened, cache=cache, store=store))[1]
    return result


def test_every_metric_is_compared_and_one_autoencoder_is_identical_to_itself(compared: ComparisonResult) -> None:
    names = [each.name for each in compared.differences]
    assert names == [*METRICS, "reconstruction/ssim", "reconstruction/psnr"]
    assert all(each.paired for each in compared.differences), "one sampler and one seed share their noise"
    assert [each.is_identical for each in compared.differences] == [False] * 7 + [True] * 2
    (first, second) = compared.runs
    assert all((each.first, each.second) == (second, first) for each in compared.differences)


def test_the_difference_is_that_of_the_runs_own_results(
    compared: ComparisonResult, opened: list[OpenedRun], store: MlflowStore
) -> None:
    before = [store.results(run.record.run_id) for run in opened]
    assert compared.differences[2].p is None, "4 patients say nothing of the population's distance"
    for each in compared.differences[:2] + compared.differences[3:7]:
        points = [results[f"eval/{each.name}"].point for results in before]
        assert each.point == pytest.approx(points[1] - points[0], rel=1e-9, abs=1e-12)


def test_nothing_is_sampled_or_extracted_again(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    events, _ = follow(compare_runs(opened, cache=cache, store=store))
    stages = [event for event in events if isinstance(event, StageFinished)]
    assert stages
    assert all(event.cached for event in stages)


def test_other_seeds_and_autoencoders_are_compared_without_pairs(
    opened: list[OpenedRun], reseeded: OpenedRun, cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    _, result = follow(compare_runs([opened[0], reseeded, opened[1]], cache=cache, store=store))
    apart, together = result.differences[:9], result.differences[9:]
    assert [each.paired for each in apart] == [False] * 7 + [True] * 2, "reconstructions are of the same slices"
    assert all(each.paired for each in together)
    data = (gathered := follow(gather([opened[0], reseeded], cache))[1]).prepared.data
    truth = to_images(data.test)
    points = [psnr(truth, reconstruct(run.trained.model.codec, data.test)).point for run in (reseeded, opened[0])]
    assert apart[-1].name == "reconstruction/psnr"
    assert apart[-1].point == pytest.approx(points[0] - points[1], rel=1e-9)
    kids = [kernel_distance(gathered.real, each).point for each in gathered.generated]
    assert apart[0].point == pytest.approx(kids[1] - kids[0], rel=1e-9)


def test_holm_counts_all_metrics_of_all_runs(
    opened: list[OpenedRun],
    reseeded: OpenedRun,
    compared: ComparisonResult,
    cache: Cache,
    store: MlflowStore,
    follow: Follow,
) -> None:
    _, more = follow(compare_runs([*opened, reseeded], cache=cache, store=store))
    smallest = min((each for each in more.differences if each.p is not None), key=lambda each: each.p)
    assert smallest.p_holm == pytest.approx(min(1, smallest.p * (6 + 8)))
    for few, many in zip(compared.differences, more.differences, strict=False):
        assert few.p == many.p
        assert few.p is None or few.p_holm <= many.p_holm


def test_the_longer_sample_is_cut_to_the_shorter(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    fewer = replace(opened[1], config=override(opened[1].config, {"evaluation.samples": 8}))
    _, result = follow(compare_runs([opened[0], fewer], cache=cache, store=store, level=0.8))
    assert result.differences[0].n["first"] == result.differences[0].n["second"] == 8
    assert result.differences[0].level == 0.8


def test_a_refused_distance_reaches_the_sentence(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    def choose(real: Any, *generated: Any) -> Distances:
        return Distances({"kid": STATISTICS["kid"]}, {"sfd": f"{len(real)} rows for {real.width} features"})

    _, result = follow(compare_runs(opened, cache=cache, store=store, choose=choose))
    assert "sfd_fake: cannot tell (16 rows for 64 features)" in result.sentences()[0]


def test_the_record_is_strict_json_and_its_table_names_the_baseline(compared: ComparisonResult) -> None:
    again = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    assert again["runs"] == compared.runs
    assert len(again["differences"]) == 9
    (sentence,) = again["sentences"]
    assert "reconstruction/ssim and reconstruction/psnr: identical" in sentence
    table = compared.table()
    assert table.title == f"Compared with {next(iter(compared.runs))}"
    assert "they hold for these weights" in table.caption
    assert len(table.rows) == 9


def test_runs_of_one_name_are_told_apart_by_their_ids(opened: list[OpenedRun]) -> None:
    renamed = [replace(run, record=replace(run.record, name="same")) for run in opened]
    assert label_runs(renamed) == tuple(f"same ({run.record.run_id[:8]})" for run in opened)


@pytest.mark.parametrize(
    "tag, words", [("sbldm.split", "another split of the patients"), ("sbldm.data", "other slices")]
)
def test_runs_on_other_data_are_refused_by_name(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, tag: str, words: str
) -> None:
    record = replace(opened[1].record, tags=opened[1].record.tags | {tag: "other"})
    ids = [run.record.run_id[:8] for run in opened]
    with pytest.raises(RunError, match=rf"{ids[0]} .* and {ids[1]} .* cannot be compared: they saw {words} \(.*other"):
        open_runs([opened[0], replace(opened[1], record=record)], cache=cache, store=store)


def test_runs_judged_by_other_extractors_are_refused(opened: list[OpenedRun], cache: Cache, store: MlflowStore) -> None:
    config = override(opened[1].config, {"evaluation.extractor": "inception"})
    with pytest.raises(RunError, match=r"their extractors differ \(lite0, inception\)"):
        open_runs([opened[0], replace(opened[1], config=config)], cache=cache, store=store)


def test_one_run_and_one_run_twice_are_refused(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    with pytest.raises(RunError, match="2 runs or more, but got 1"):
        follow(compare_runs(opened[:1], cache=cache, store=store))
    with pytest.raises(RunError, match="is given 2 times"):
        follow(compare_runs([opened[0], opened[0].record.run_id], cache=cache, store=store))


def test_the_features_are_those_the_judge_extracts(opened: list[OpenedRun], cache: Cache, follow: Follow) -> None:
    _, gathered = follow(gather(opened, cache))
    _, features = follow(Judge(opened[0].config.evaluation, cache).features(to_images(gathered.prepared.data.test)))
    np.testing.assert_array_equal(gathered.real.rows, features.rows)
    assert gathered.share_noise(0, 1)
    other = replace(opened[1], config=override(opened[1].config, {"sampler": {"kind": "ddpm"}}))
    assert not replace(gathered, runs=(opened[0], other)).share_noise(0, 1)
