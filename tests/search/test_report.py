"""The page of a finished experiment, gathered from the cache of the suite's own tiny study."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import search.report
from evaluation import frechet_distance, stand_alone
from evaluation.curve import DistanceCurve
from sbldm.files import read_json
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.events import ExperimentResult, StageFinished
from search.experiment import run_experiment
from search.measure import Judge, to_images
from search.report import ReportFiles, gather_facts, report_stage, reproduce
from search.sampling import read_samples
from search.stages import recall_data

Follow = Callable[..., tuple[list[Any], Any]]


@pytest.fixture(autouse=True)
def _draw_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(subject: object, path: Path, **_: object) -> Path:
        Image.new("L", (8, 8)).save(path)
        return path

    monkeypatch.setattr(search.report, "draw_curve", draw)


@pytest.fixture
def cache(finished: Any) -> Cache:
    return Cache(finished.home / "cache")


@pytest.fixture
def result(tiny: ExperimentConfig, cache: Cache, follow: Follow) -> ExperimentResult:
    found: ExperimentResult = follow(run_experiment(tiny, cache))[1]
    return found


@pytest.fixture
def files(tiny: ExperimentConfig, result: ExperimentResult, cache: Cache, follow: Follow) -> ReportFiles:
    found: ReportFiles = follow(report_stage(tiny, result, cache, facts={"torch": "9.8.7"}))[1]
    return found


def test_the_page_holds_every_result_and_the_settings(files: ReportFiles, result: ExperimentResult) -> None:
    page = files.page.read_text(encoding="utf-8")
    assert all(each.name in page for each in result.results.values())
    assert "&quot;kind&quot;: &quot;phantom&quot;" in page
    assert "9.8.7" in page
    assert page.count("data:image/png") == len(result.pictures) + 1  # and the curve
    assert result.digests["network"] in page


def test_the_page_names_no_folder_of_this_machine(files: ReportFiles, finished: Any) -> None:
    for path in (files.page, files.document):
        text = re.sub(r"base64,[^\"]*", "", path.read_text(encoding="utf-8"))
        assert str(finished.home) not in text
        assert "/tmp" not in text
        assert "/home" not in text


def test_the_twin_holds_the_same_results(files: ReportFiles, result: ExperimentResult) -> None:
    document = read_json(files.document)
    assert document["results"] == {name: each.to_json() for name, each in result.results.items()}


def test_the_curve_ends_at_the_distance_of_the_experiment(
    files: ReportFiles, tiny: ExperimentConfig, result: ExperimentResult, cache: Cache, follow: Follow
) -> None:
    curve = DistanceCurve.from_json(read_json(files.document)["curve"])
    assert curve.points[-1].mean == pytest.approx(result.results["eval/fd_fake"].point, rel=1e-9)
    assert curve.floor[-1].mean == pytest.approx(result.results["floor/fd_fake"].point, rel=1e-9)
    data = recall_data(result.digests["data_entry"], cache)
    assert data is not None
    judge = Judge(tiny.evaluation, cache)
    real = follow(judge.features(to_images(data.data.test)))[1]
    made = follow(judge.features(stand_alone(read_samples(result.samples)[0])))[1]
    assert curve.points[-1].mean == pytest.approx(frechet_distance(real, made).point, rel=1e-9)


def test_a_page_is_made_once(
    files: ReportFiles, tiny: ExperimentConfig, result: ExperimentResult, cache: Cache, follow: Follow
) -> None:
    events, again = follow(report_stage(tiny, result, cache, facts={"torch": "9.8.7"}))
    assert again == files
    assert [each.cached for each in events if isinstance(each, StageFinished)] == [True, True]


def test_another_picture_or_fact_makes_another_page(
    files: ReportFiles, tiny: ExperimentConfig, result: ExperimentResult, cache: Cache, follow: Follow, tmp_path: Path
) -> None:
    Image.new("L", (3, 3), 77).save(tmp_path / "nearest.png")
    more = dataclasses.replace(result, pictures=result.pictures | {"copies_pixel": tmp_path / "nearest.png"})
    other = follow(report_stage(tiny, more, cache, facts={"torch": "9.8.7"}))[1]
    assert other.page != files.page
    assert "most like a training slice" in other.page.read_text(encoding="utf-8")
    assert follow(report_stage(tiny, result, cache, facts={"torch": "1"}))[1].page != files.page


def test_data_gone_from_the_cache_are_made_anew(
    tiny: ExperimentConfig, result: ExperimentResult, cache: Cache, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = override(tiny, {"evaluation.extractor": "inception"})  # its curve is not there yet
    monkeypatch.setattr(search.report, "recall_data", lambda digest, cache: None)
    assert follow(report_stage(asked, result, cache))[1].page.exists()


def test_the_command_asks_for_what_the_settings_do_not_tell(tiny: ExperimentConfig, tmp_path: Path) -> None:
    assert reproduce(tiny).endswith("\nsbldm train --config settings.json")
    private = override(tiny, {"data": {"kind": "folder", "root": tmp_path, "patient_regex": "(a)"}})
    assert reproduce(private).endswith("\nsbldm train --config settings.json --set data.root=...")


def test_versions_stand_in_one_line() -> None:
    facts = gather_facts({"version.a": "1", "revision": "r", "version.b": "2"})
    assert facts == {"revision": "r", "packages": "a 1, b 2"}
