"""What stands beside a distance: a second extractor, diversity, copies, and what early stopping costs."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import search.measure
from evaluation import FeatureSet, ImageSet, read_features
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.experiment import run_experiment

Follow = Callable[..., tuple[list[Any], Any]]


@dataclasses.dataclass(frozen=True)
class Means:
    """Rows of the mean brightness of each quarter."""

    name: str
    width: int = 16
    preparation: str = "pooled to 4 x 4"

    @property
    def identity(self) -> str:
        return f"{self.name}@0"

    pass_identity = identity
    columns = slice(None)

    def run_pass(self, images: ImageSet, batch_size: int = 64) -> Any:
        return images.images.double().unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)).flatten(1).numpy()

    def extract(self, images: ImageSet, batch_size: int = 64) -> FeatureSet:
        return FeatureSet(self.run_pass(images), images.groups.numpy(), self.name)


@pytest.fixture(scope="module")
def result(tiny: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory, follow: Follow) -> Any:
    changes = {
        "evaluation.companion": "lite0_block",
        "sampler": {"kind": "adaptive", "threshold": 0.5, "patience": 1, "inner": {"kind": "ddim", "steps": 6}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.measure, "build_extractor", lambda name, weights: Means(name))
        cache = Cache(tmp_path_factory.mktemp("companions"))
        return follow(run_experiment(override(tiny, changes), cache))[1]


def test_the_second_extractor_measures_all_that_the_first_does(result: Any) -> None:
    first = {name for name in result.results if name.startswith("eval/") and name.endswith("_lite0")}
    second = {name for name in result.results if name.startswith("eval/") and name.endswith("_lite0_block")}
    measured = {name.removesuffix("_lite0") for name in first - {"eval/copies_lite0"}}
    assert measured == {name.removesuffix("_lite0_block") for name in second}


def test_samples_and_real_patients_have_their_diversity(result: Any) -> None:
    assert {"eval/diversity_ms_ssim", "floor/diversity_ms_ssim"} <= result.results.keys()


def test_copies_are_searched_in_features_and_pixels_and_can_constrain(result: Any) -> None:
    assert {"eval/copies_lite0", "eval/copies_pixel", "floor/copies_pixel"} <= result.results.keys()
    assert {"constraint/copies_lite0", "constraint/copies_pixel"} <= result.numbers.keys()


def test_early_stopped_samples_are_held_against_full_ones(result: Any) -> None:
    assert {"early_stop/0.5/ssim", "early_stop/0.5/ms_ssim", "early_stop/0.5/psnr"} <= result.results.keys()
    assert 0 <= result.numbers["early_stop/0.5/saved"] < 1


def test_features_are_kept_so_that_every_statistic_can_be_made_again(result: Any) -> None:
    assert [path.name for path in result.files["features"]] == ["lite0.npz", "lite0_block.npz"]
    real, generated = read_features(result.files["features"][0])
    again = search.measure.evaluate_features(real, generated)
    assert [each.point for each in again if each.name == "kid_lite0"] == [result.results["eval/kid_lite0"].point]
    assert (len(real), len(generated)) == (
        result.results["eval/kid_lite0"].n["real"],
        result.results["eval/kid_lite0"].n["generated"],
    )


def test_the_report_is_kept_as_page_and_document(result: Any) -> None:
    page, document = result.files["report"]
    assert (page.name, document.name) == ("report.html", "report.json")
    text = Path(page).read_text(encoding="utf-8")
    assert "eval" in document.read_text()
    assert "<script" not in text


def test_a_walk_to_the_end_has_nothing_to_compare(tiny: ExperimentConfig, tmp_path: Path, follow: Follow) -> None:
    found = follow(run_experiment(tiny, Cache(tmp_path)))[1]
    assert not [name for name in found.results if name.startswith("early_stop/")]
    assert [path.name for path in found.files["features"]] == ["lite0.npz"]


def test_a_threshold_of_0_stops_nothing_early_and_is_measured_without_pairs(
    tiny: ExperimentConfig, tmp_path: Path, follow: Follow
) -> None:
    inner = {"kind": "ddim", "steps": 2}
    config = override(tiny, {"sampler": {"kind": "adaptive", "threshold": 0.0, "inner": inner}})
    found = follow(run_experiment(config, Cache(tmp_path)))[1]
    assert not [name for name in (*found.results, *found.numbers) if name.startswith("early_stop/")]
