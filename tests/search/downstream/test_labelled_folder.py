from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from sbldm.errors import DataError
from search.downstream.labelled_folder import FIRST_PATIENT, read_labelled
from search.image_folder import Reading

NAMES = ("tissue", "lesion")
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (3, 8, 6), dtype=np.uint8)
MAPS = RANDOM.integers(0, 3, (3, 8, 6), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def beside(root: Path) -> Path:
    for number, (image, labels) in enumerate(zip(IMAGES, MAPS, strict=True)):
        save(root / f"{number}.png", image)
        save(root / f"{number}_{'seg' if number else 'labels'}.png", labels)
    return root


def below(root: Path) -> Path:
    for number, (image, labels) in enumerate(zip(IMAGES, MAPS, strict=True)):
        save(root / "a" / f"{number}.tif", image)
        save(root / "labels" / "a" / f"{number}.tif", labels)
    return root


def in_arrays(root: Path) -> Path:
    root.mkdir()
    np.savez(root / "samples.npz", images=(IMAGES[:, None] / 255).astype(np.float32), labels=MAPS)
    return root


@pytest.mark.parametrize("write", [beside, below, in_arrays])
def test_every_layout_gives_the_same_slices(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    found = read_labelled(write(tmp_path / "made"), Reading(), NAMES).slices
    torch.testing.assert_close(found.images[:, 0], torch.from_numpy(IMAGES / 255).float(), rtol=0, atol=1e-7)
    assert torch.equal(found.labels, torch.from_numpy(MAPS))
    assert found.groups.tolist() == [FIRST_PATIENT, FIRST_PATIENT + 1, FIRST_PATIENT + 2]
    assert found.names == NAMES


def test_a_volume_and_its_map_are_cut_alike(tmp_path: Path) -> None:
    labels = (IMAGES % 3).astype(np.uint8)
    for name, values in {"one": IMAGES, "one_seg": labels}.items():
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), np.diag([-1, 2, 3, 1])), tmp_path / f"{name}.nii.gz")
    found = read_labelled(tmp_path, Reading(value_range=(0, 255)), NAMES)
    assert torch.equal(found.slices.labels, ((found.slices.images[:, 0] * 255).round() % 3).to(torch.uint8))
    assert found.values.startswith("0 becomes 0 and 255 becomes 1")


def refused(root: Path) -> str:
    with pytest.raises(DataError) as error:
        read_labelled(root, Reading(), NAMES)
    return str(error.value)


def test_an_image_without_a_map_is_refused_with_the_rule(tmp_path: Path) -> None:
    (beside(tmp_path) / "1_seg.png").unlink()
    assert "1.png: must have one label map, but has 0; label maps are the array 'labels'" in refused(tmp_path)


def test_an_image_with_two_maps_is_refused(tmp_path: Path) -> None:
    save(beside(tmp_path) / "1_labels.png", MAPS[1])
    assert "1.png: must have one label map, but has 2" in refused(tmp_path)


def test_a_map_without_an_image_is_refused(tmp_path: Path) -> None:
    (beside(tmp_path) / "2.png").unlink()
    assert "2_seg.png: a label map must have its image" in refused(tmp_path)


def test_an_archive_without_labels_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", images=IMAGES)
    assert "must hold an array 'labels' beside 'images'" in refused(tmp_path)


def test_gray_levels_in_place_of_classes_are_refused(tmp_path: Path) -> None:
    save(beside(tmp_path) / "1_seg.png", MAPS[1] * 100)
    assert "must hold 0 for background and 1 for tissue, 2 for lesion, but hold 100" in refused(tmp_path)


def test_a_map_of_another_size_is_refused(tmp_path: Path) -> None:
    save(beside(tmp_path) / "1_seg.png", MAPS[1][:4])
    assert "label maps must be (1, 8, 6), as the images are, but are (1, 4, 6)" in refused(tmp_path)


def test_maps_that_show_nothing_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", images=IMAGES, labels=MAPS * 0)
    assert "some label map must show a class, but all 3 are background alone" in refused(tmp_path)


def test_forms_are_not_mixed(tmp_path: Path) -> None:
    np.savez(beside(tmp_path) / "samples.npz", images=IMAGES, labels=MAPS)
    assert "all images must be of one form, but there are arrays and pictures" in refused(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_folder_without_images_is_refused(tmp_path: Path, name: str) -> None:
    assert "no such file" in refused(tmp_path / name) or "holds no image file" in refused(tmp_path / name)
