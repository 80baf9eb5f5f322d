from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

import search.volumes
from evaluation.volume_views import View
from sbldm.data import NiftiSpec, PhantomSpec
from sbldm.errors import RunError
from sbldm.model.coherence import Coherence
from search.cache import Cache
from search.config import ExperimentConfig
from search.events import StageFinished
from search.experiment import train_stages
from search.runs import OpenedRun
from search.stages import Prepared, data_stage
from search.volume_stage import field_of_view
from search.volumes import VolumeFiles, volume_run

Follow = Callable[..., tuple[list[Any], Any]]
COUNT = 3
SPACING = (70 / 3, 6.0, 6.0)  # of phantoms: 4 slices over 70 mm, 32 pixels over 192 mm


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def prepared(tiny: ExperimentConfig, cache: Cache, follow: Follow) -> Prepared:
    found: Prepared = follow(data_stage(tiny, cache))[1]
    return found


@pytest.fixture(scope="module")
def run(tiny: ExperimentConfig, prepared: Prepared, cache: Cache, follow: Follow) -> OpenedRun:
    tags = {"sbldm.data_entry": prepared.digest, "sbldm.split": prepared.data.split_digest}
    record: Any = SimpleNamespace(run_id="0123456789", tags=tags)
    return OpenedRun(record, tiny, follow(train_stages(tiny, prepared.data, cache))[1])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[View]:
    """Replace the drawing, which has tests of its own, by a list of what was to be shown."""
    views: list[View] = []

    def draw(some: list[View], path: Path, **_: object) -> Path:
        views.extend(some)
        Image.new("L", (8, 8)).save(path)
        return path

    monkeypatch.setattr(search.volumes, "draw_volumes", draw)
    return views


@pytest.fixture
def make(run: OpenedRun, cache: Cache, follow: Follow, shown: list[View], tmp_path: Path) -> Callable[..., Any]:
    def volumes(count: int = COUNT, run: OpenedRun = run, **changes: Any) -> tuple[list[Any], VolumeFiles]:
        return follow(volume_run(run, count, **{"seed": 0, "cache": cache, "out": tmp_path / "out", **changes}))

    return volumes


def test_volumes_become_files_that_can_be_read_as_data(make: Callable[..., Any], tmp_path: Path) -> None:
    files: VolumeFiles = make()[1]
    assert [path.name for path in files.images] == [f"volume-{index:05d}.nii.gz" for index in range(COUNT)]
    assert all(path.exists() for path in (*files.images, *files.labels, files.picture, files.page))
    source = NiftiSpec(root=tmp_path / "out")
    assert len(source.subjects()) == COUNT
    volume = source.read(source.subjects()[0])
    assert volume.image.shape == (4, 32, 32)
    assert volume.spacing_mm == pytest.approx(SPACING)


def test_volume_files_do_not_depend_on_how_many_there_are(make: Callable[..., Any], tmp_path: Path) -> None:
    many, one = make(COUNT)[1], make(1, out=tmp_path / "one")[1]
    assert one.images[0].read_bytes() == many.images[0].read_bytes()
    other = make(1, seed=1, out=tmp_path / "other")[1]
    assert one.images[0].read_bytes() != other.images[0].read_bytes()


def test_volumes_are_made_once(make: Callable[..., Any]) -> None:
    make(2, seed=7)
    events, _ = make(3, seed=7)
    done = [event.cached for event in events if isinstance(event, StageFinished) and event.stage == "volumes"]
    assert done == [True, True, False]


def test_the_table_holds_generated_and_real_volumes_against_exchanged_slices(make: Callable[..., Any]) -> None:
    files: VolumeFiles = make()[1]
    kinds = ["generated", "generated, slices exchanged", "real", "real, slices exchanged"]
    assert list(files.continuity) == kinds
    assert [row[0] for row in files.table.rows] == kinds
    assert files.table.header[1:4] == ("neighbor_ssim", "neighbor_error", "neighbor_dice")
    assert "| generated |" in files.page.read_text()
    assert {found[0].n["volumes"] for kind, found in files.continuity.items() if kind.startswith("generated")} == {
        COUNT
    }
    assert files.continuity["generated"][0].n["pairs"] == 3 * COUNT


def test_finer_slices_are_compared_at_the_distance_of_real_ones(make: Callable[..., Any]) -> None:
    """Slices at half the distance: of 7, the pairs (0, 2) to (4, 6) are as far apart as real neighbors."""
    smooth = Coherence(length_mm=200.0)
    fine, usual = make(2, slices=7, coherence=smooth)[1], make(2, coherence=smooth)[1]
    assert fine.continuity["generated"][0].n["pairs"] == 10
    assert usual.continuity["generated"][0].n["pairs"] == 6
    for one, other in zip(fine.continuity["generated"], usual.continuity["generated"], strict=True):
        assert one.point == pytest.approx(other.point, abs=0.05, nan_ok=True)


def test_a_lone_volume_is_not_held_against_exchanged_slices(make: Callable[..., Any], shown: list[View]) -> None:
    files: VolumeFiles = make(1)[1]
    assert "generated, slices exchanged" not in files.continuity
    assert files.continuity["generated"][0].low is None
    assert [view.title for view in shown] == ["generated", "real test patient"]


def test_the_exchanged_volume_takes_each_slice_from_another(make: Callable[..., Any], shown: list[View]) -> None:
    make()
    volume, exchanged, real = shown
    assert torch.equal(volume.image[0], exchanged.image[0])
    assert not torch.equal(volume.image[1], exchanged.image[1])
    assert torch.equal(volume.image[3], exchanged.image[3]), "slice 3 of three volumes is again the first one's"
    assert real.spacing_mm == pytest.approx(SPACING)


def test_patients_are_shown_only_where_they_may_be(
    make: Callable[..., Any], run: OpenedRun, shown: list[View], tmp_path: Path
) -> None:
    private = replace(run, config=run.config.model_copy(update={"data": NiftiSpec(root=tmp_path)}))
    make(2, run=private, spacing_mm=SPACING)
    assert [view.title for view in shown] == ["generated", "generated, slices exchanged among volumes"]


def test_another_split_is_refused(make: Callable[..., Any], run: OpenedRun) -> None:
    record: Any = SimpleNamespace(run_id="0123456789", tags=run.record.tags | {"sbldm.split": "another"})
    with pytest.raises(RunError, match="another split"):
        make(run=replace(run, record=record))


def test_the_field_of_view_is_that_of_the_patients() -> None:
    """Phantoms: slices from -20 to 50 mm in a field of 192 mm, whatever the number of slices and pixels."""
    for slices, size in ((4, 32), (8, 48)):
        assert field_of_view(PhantomSpec(patients=2, slices=slices, size=size)) == (70.0, 192.0)
