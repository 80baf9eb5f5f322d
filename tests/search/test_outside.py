"""Piles of images of any program; the judge is the suite's extractor without a network, 64 mean brightnesses."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

import search.outside
import search.report
from evaluation import FeatureSet
from sbldm.data import prepare_data
from sbldm.errors import ConfigError, DataError
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.image_folder import Reading, read_generated, read_real
from search.measure import to_images
from search.outside import OutsideResult, evaluate_outside, split_halves

Follow = Callable[..., tuple[list[Any], Any]]


@pytest.fixture(autouse=True)
def _draw_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(subject: object, path: Path, **_: object) -> Path:
        Image.new("L", (8, 8)).save(path)
        return path

    monkeypatch.setattr(search.outside, "draw_grid", draw)
    monkeypatch.setattr(search.report, "draw_curve", draw)


@pytest.fixture(scope="session")
def slices(tiny: ExperimentConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return 8 bit slices of phantom patients, and the patient of each."""
    data = prepare_data(tiny.data, prepare=tiny.prepare, split=tiny.split)
    images = to_images(data.train)
    return (images.images[:, 0].numpy() * 255).round().astype(np.uint8), images.groups.numpy()


def write_pictures(folder: Path, slices: tuple[np.ndarray, np.ndarray]) -> Path:
    for row, (pixels, patient) in enumerate(zip(*slices, strict=True)):
        (folder / f"patient-{patient}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"patient-{patient}" / f"{row:03}.png")
    return folder


def write_arrays(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "samples.npz", **arrays)
    return folder


@pytest.fixture
def pictures(tmp_path: Path, slices: tuple[np.ndarray, np.ndarray]) -> Path:
    return write_pictures(tmp_path / "pictures", slices)


@pytest.fixture
def judge(tiny: ExperimentConfig, tmp_path: Path, follow: Follow) -> Callable[..., OutsideResult]:
    def run(generated: Path, real: Path | str, **how: Any) -> OutsideResult:
        changes = how.pop("changes", {})
        events = evaluate_outside(
            generated, str(real), config=override(tiny, changes), cache=Cache(tmp_path / "cache"), **how
        )
        result: OutsideResult = follow(events)[1]
        return result

    return run


def numbers(result: OutsideResult) -> dict[str, tuple[float, float | None, float | None]]:
    return {name: (each.point, each.low, each.high) for name, each in result.results.items()}


def test_images_held_against_themselves_are_at_distance_zero(pictures: Path, judge: Callable[..., Any]) -> None:
    result = judge(pictures, pictures)
    assert result.results["eval/fd_fake"].point == 0
    assert result.curve.points[-1].mean == 0
    assert result.results["eval/precision_fake"].point == result.results["eval/recall_fake"].point == 1
    assert result.results["floor/fd_fake"].point > 0


def test_pictures_and_arrays_of_the_same_images_give_equal_numbers(
    pictures: Path, tmp_path: Path, slices: tuple[np.ndarray, np.ndarray], judge: Callable[..., Any]
) -> None:
    pixels, patients = slices
    changed = write_pictures(tmp_path / "changed", (pixels // 2, patients))
    as_floats = write_arrays(tmp_path / "floats", images=(pixels // 2 / 255).astype(np.float32)[:, None])
    as_levels = write_arrays(tmp_path / "levels", images=pixels, groups=patients + 40, labels=pixels)
    expected = numbers(judge(changed, pictures))
    assert expected["eval/fd_fake"][0] > 0
    assert numbers(judge(as_floats, pictures)) == expected
    assert numbers(judge(changed, as_levels)) == expected
    assert numbers(judge(as_floats / "samples.npz", as_levels / "samples.npz")) == expected


def test_every_metric_knows_its_patients_and_is_on_the_page(pictures: Path, judge: Callable[..., Any]) -> None:
    result = judge(pictures, pictures)
    page = result.files.page.read_text(encoding="utf-8")
    n = result.results["eval/fd_fake"].n
    assert n["real_patients"] == len(list(pictures.iterdir()))
    assert n["generated_groups"] == n["generated"] == n["real"]
    assert all(each.name in page for each in result.results.values())
    assert {"eval", "floor"} == {name.partition("/")[0] for name in result.results}
    assert str(pictures) not in page
    assert "patient-" not in page
    assert "8 bit, divided by 255" in page


def test_a_prepared_source_gives_its_test_patients(
    pictures: Path, judge: Callable[..., Any], tiny: ExperimentConfig
) -> None:
    result = judge(pictures, "phantom")
    data = prepare_data(tiny.data, prepare=tiny.prepare, split=tiny.split)
    assert result.results["eval/fd_fake"].n["real"] == len(data.test)
    assert result.report.settings["data"]["kind"] == "phantom"
    with pytest.raises(DataError, match=r"generated images are 32 x 32 and the real ones 16 x 16;.*prepare\.size"):
        judge(pictures, "phantom", changes={"prepare.size": 16, "data.size": 16})


def test_volumes_are_read_as_they_are_on_a_stated_range(
    tmp_path: Path, pictures: Path, slices: tuple[np.ndarray, np.ndarray], judge: Callable[..., Any]
) -> None:
    pixels, patients = slices
    folder = tmp_path / "volumes"
    folder.mkdir()
    for patient in np.unique(patients):
        # voxels run to the right, the front and the top; a slice's rows run from the front to the back
        stack = pixels[patients == patient].astype(np.float32) * 4 - 100
        nibabel.save(
            nibabel.Nifti1Image(stack[:, ::-1].transpose(2, 1, 0), np.eye(4)), folder / f"p{patient:02}.nii.gz"
        )
    reading = Reading(value_range=(-100, 920))
    found = read_real(folder, reading)
    as_pictures = read_real(pictures, Reading())
    np.testing.assert_allclose(found.images.images.numpy(), as_pictures.images.images.numpy(), atol=1e-6)
    assert found.images.groups.tolist() == as_pictures.images.groups.tolist()
    assert judge(pictures, folder, real_reading=reading).results["eval/fd_fake"].point == pytest.approx(0, abs=1e-6)
    assert "data" in judge(pictures, folder, changes={"prepare.size": 32}).report.settings


def test_a_stated_range_maps_its_ends_to_zero_and_one_and_counts_what_it_clips(tmp_path: Path) -> None:
    images = np.array([[[0, 100], [200, 400]]], dtype=np.uint16)
    found = read_generated(write_arrays(tmp_path / "x", images=images), Reading(value_range=(100, 300)))
    np.testing.assert_array_equal(found.images.images[0, 0].numpy(), [[0, 0], [0.5, 1]])
    assert found.values == "100 becomes 0 and 300 becomes 1; 50 % of pixels clipped"


def test_a_patient_is_what_the_regular_expression_finds(pictures: Path) -> None:
    by_folder = read_real(pictures, Reading()).images
    by_ten = read_real(pictures, Reading(patient_regex=r"/([0-9]+)[0-9]\.png")).images
    assert by_folder.patients == len(list(pictures.iterdir()))
    assert by_ten.groups.tolist() == [int(path.stem[:2]) for path in _in_order(pictures)]


def _in_order(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def spoil_nothing_there(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.unlink()


def spoil_mixed_forms(folder: Path) -> None:
    np.savez(folder / "more.npz", images=np.zeros((2, 32, 32), np.uint8))


def spoil_unread_form(folder: Path) -> None:
    Image.new("L", (32, 32)).save(folder / "photo.jpg")


def spoil_truncated(folder: Path) -> None:
    path = _in_order(folder)[3]
    path.write_bytes(path.read_bytes()[:60])


def spoil_link(folder: Path) -> None:
    Image.new("L", (32, 32)).save(folder.parent / "outside.png")
    (folder / "link.png").symlink_to(folder.parent / "outside.png")


def spoil_linked_folder(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / "link").symlink_to(folder.parent / "elsewhere")


def spoil_size(folder: Path) -> None:
    Image.new("L", (32, 30)).save(_in_order(folder)[2])


def spoil_type(folder: Path) -> None:
    Image.fromarray(np.full((32, 32), 1000, np.uint16)).save(_in_order(folder)[2])


def spoil_color(folder: Path) -> None:
    Image.new("RGB", (32, 32), (9, 1, 1)).save(_in_order(folder)[2])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_nothing_there, "pictures: holds no image file"),
        (spoil_mixed_forms, r"must be of one form, but more\.npz is of the arrays and .*png of the pictures"),
        (spoil_unread_form, r"photo\.jpg: files of this kind are not read"),
        (spoil_truncated, r"png: damaged"),
        (spoil_link, r"link\.png: must lie inside the folder"),
        (spoil_linked_folder, "link: must lie inside the folder"),
        (spoil_size, r"png: images must share one size, but this is 30 x 32 and others 32 x 32"),
        (spoil_type, r"png: files must share one type of values, but this is uint16 and others uint8"),
        (spoil_color, r"png: must be grey"),
    ],
)
def test_a_folder_that_does_not_hold_together_is_refused_in_one_line(
    pictures: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(pictures)
    for read in (read_generated, read_real):
        with pytest.raises(DataError, match=words) as refusal:
            read(pictures, Reading())
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.full((8, 4, 4), 9, np.uint16)}, "type uint16 have no agreed range; state one as LOW,HIGH"),
        ({"images": np.full((8, 4, 4), 1.5)}, r"must lie in \[0, 1\], but span \[1\.5, 1\.5\]"),
        ({"images": np.full((8, 4, 4), -0.1)}, r"must lie in \[0, 1\]"),
        ({"images": np.full((8, 4, 4), np.nan)}, "must be finite"),
        ({"images": np.zeros((8, 3, 4, 4))}, "must be gray"),
        ({"images": np.zeros((8, 4, 4)), "groups": np.zeros(7, int)}, "name the patient of 8 images, but has 7"),
        ({"pictures": np.zeros((8, 4, 4))}, "must hold an array 'images'"),
        ({"images": np.array([None, 1])}, "images must be numbers"),
    ],
)
def test_values_without_a_rule_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_generated(write_arrays(tmp_path / "x", **arrays), Reading())


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, images=np.zeros((8, 4, 4)))
    (tmp_path / "x.npz").write_bytes(content.getvalue()[:200])
    with pytest.raises(DataError, match=r"x\.npz: damaged"):
        read_generated(tmp_path / "x.npz", Reading())


def test_one_patient_is_refused_and_told_how_to_tell_patients_apart(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "x", images=np.random.default_rng(0).random((8, 4, 4)))
    with pytest.raises(DataError, match="into a folder of its own, or give a patient regex"):
        read_real(folder, Reading())


def test_one_picture_under_two_patients_is_refused(pictures: Path) -> None:
    first, last = _in_order(pictures)[0], _in_order(pictures)[-1]
    last.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match="must differ from other patients' files"):
        read_real(pictures, Reading())


def test_what_is_not_there_is_refused(tmp_path: Path, pictures: Path, judge: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        judge(tmp_path / "nowhere", pictures)
    with pytest.raises(DataError, match="no such file or folder"):
        judge(pictures, tmp_path / "nowhere")


def test_too_few_images_are_refused(
    tmp_path: Path, pictures: Path, judge: Callable[..., Any], slices: tuple[np.ndarray, np.ndarray]
) -> None:
    few = write_arrays(tmp_path / "few", images=slices[0][:5])
    with pytest.raises(DataError, match="more than 5 images, but there are 5 generated ones"):
        judge(few, pictures)


@pytest.mark.parametrize(
    "changes", [{"value_range": (3, 3)}, {"value_range": (0, np.inf)}, {"patient_regex": "("}, {"patient_regex": "a"}]
)
def test_a_reading_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Reading(**changes)


def test_halves_share_no_patient_and_leave_none_out() -> None:
    rows = np.random.default_rng(0).random((40, 3))
    features = FeatureSet(rows, np.arange(40) // 5, "t")
    halves = split_halves(features)
    assert halves is not None
    first, second = (set(half.groups.tolist()) for half in halves)
    assert (len(first), len(second), first & second) == (4, 4, set())
    assert split_halves(FeatureSet(rows, np.arange(40) // 14, "t")) is None
    assert split_halves(FeatureSet(rows[:8], np.arange(8), "t")) is None


def test_too_few_patients_go_without_floor_and_the_page_says_so(
    tmp_path: Path, slices: tuple[np.ndarray, np.ndarray], judge: Callable[..., Any]
) -> None:
    pixels, patients = slices
    real = write_arrays(tmp_path / "three", images=pixels[patients < 3], groups=patients[patients < 3])
    result = judge(real, real)
    assert not any(name.startswith("floor/") for name in result.results)
    assert result.curve.floor == ()
    assert "No noise floor" in result.files.page.read_text(encoding="utf-8")


def test_values_scaled_by_two_rules_are_called_so(
    tmp_path: Path, pictures: Path, slices: tuple[np.ndarray, np.ndarray], judge: Callable[..., Any]
) -> None:
    floats = write_arrays(tmp_path / "floats", images=slices[0] / 255)
    assert any("different rules" in remark for remark in judge(floats, pictures).report.remarks)
    assert not judge(pictures, pictures).report.remarks


def test_the_command_tells_ranges_but_no_folder(pictures: Path, judge: Callable[..., Any]) -> None:
    how = Reading(value_range=(0, 255), patient_regex=r"patient-([0-9]+)")
    command = judge(pictures, pictures, generated_reading=Reading(value_range=(0, 255)), real_reading=how)
    assert command.report.command == (
        "sbldm evaluate --generated GENERATED --real REAL --range 0,255 --real-range 0,255 --patient-regex REGEX"
    )


def test_results_return_from_the_twin(pictures: Path, judge: Callable[..., Any]) -> None:
    from sbldm.files import read_json

    result = judge(pictures, pictures)
    document = read_json(result.files.document)
    assert document["results"] == {name: each.to_json() for name, each in result.results.items()}
