"""Laws of the preparation: range, size, labels, which slices stay, and no patient in two parts."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from sbldm.data import (
    PARTS,
    PhantomSpec,
    PreparedData,
    PrepareSpec,
    SliceSet,
    SourceSpec,
    SplitSpec,
    Subject,
    Volume,
    prepare_data,
    prepare_steps,
)
from sbldm.data.volume import even_positions
from sbldm.errors import DataError


class Given(SourceSpec):
    """Hand out volumes made by the test; not registered."""

    kind: Literal["given"] = "given"
    volumes: tuple[Any, ...]
    names: tuple[str, ...] = ()
    scaled: bool = True

    @property
    def knows_spacing(self) -> bool:
        return self.scaled

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.names

    def subjects(self) -> tuple[Subject, ...]:
        return tuple(Subject(f"secret-name-{index}") for index in range(len(self.volumes)))

    def read(self, subject: Subject) -> Volume:
        volume = self.volumes[int(subject.id.rsplit("-", 1)[-1])]
        assert isinstance(volume, Volume)
        return volume


def volume(
    image: torch.Tensor, labels: torch.Tensor | None = None, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Volume:
    return Volume(image.float(), labels, spacing_mm, even_positions(len(image)))


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) + 0.1


def prepare(volumes: Sequence[Volume], names: tuple[str, ...] = (), **settings: object) -> PreparedData:
    source = Given(volumes=tuple(volumes), names=names)
    return prepare_data(source, prepare=PrepareSpec(**({"size": 16} | settings)), split=SplitSpec())


def everything(data: PreparedData) -> list[SliceSet]:
    return [getattr(data, part) for part in PARTS]


def test_scale_and_offset_of_the_scanner_do_not_matter() -> None:
    plain = [noise(seed, 4, 16, 16) for seed in range(4)]
    other = [1000 * (seed + 1) * image + 300 for seed, image in enumerate(plain)]
    one, two = prepare([volume(x) for x in plain]), prepare([volume(x) for x in other])
    torch.testing.assert_close(one.train.images, two.train.images, rtol=0, atol=1e-4)  # float32 of the raw values


def test_a_linear_rescaling_of_whole_numbers_changes_no_bit() -> None:
    plain = [(100 * noise(seed, 4, 16, 16)).round() for seed in range(4)]
    one, two = prepare([volume(x) for x in plain]), prepare([volume(3 * x - 700) for x in plain])
    assert one.digest == two.digest
    for part in everything(one):
        assert float(part.images.min()) == -1
        assert float(part.images.max()) == 1


def test_an_image_that_fits_equals_the_formula_on_numpys_percentiles() -> None:
    images = [noise(seed, 4, 16, 16) for seed in range(3)]
    for image in images:
        image[:, :4] = 0  # air, which the percentiles leave out
    data = prepare([volume(image) for image in images])
    found = sorted((part.images[:, 0] for part in everything(data)), key=lambda slices: float(slices.sum()))
    expected = []
    for image in images:
        values = image.double().numpy()
        low, high = np.percentile(values[values > 0], [0.5, 99.5], method="nearest")
        expected.append(torch.from_numpy(np.clip((values - low) / (high - low), 0, 1) * 2 - 1).float())
    expected.sort(key=lambda slices: float(slices.sum()))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_percentiles_become_the_ends_of_the_range() -> None:
    shuffled = [torch.randperm(1600, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    volumes = [volume(3 * places.reshape(1, 40, 40) + 7) for places in shuffled]
    for part in everything(prepare(volumes, size=40, low_percentile=10, high_percentile=80)):
        ends = torch.tensor([(part.images == end).float().mean() for end in (-1, 1)])
        torch.testing.assert_close(ends, torch.tensor([0.1, 0.2]), rtol=0, atol=0.002)  # ranks are rounded
        assert float(part.images.median()) == pytest.approx(2 * (50 - 10) / (80 - 10) - 1, abs=0.01)


def test_one_bright_voxel_does_not_darken_the_rest() -> None:
    images = [noise(seed, 4, 16, 16) for seed in range(4)]
    images[0][0, 0, 0] = images[1][0, 0, 0] = images[2][0, 0, 0] = images[3][0, 0, 0] = 1e6
    assert all(part.images.std() > 0.3 for part in everything(prepare([volume(image) for image in images])))


def test_padding_centers_and_keeps_what_is_there() -> None:
    images = [noise(seed, 2, 10, 16) for seed in range(3)]
    data = prepare([volume(image) for image in images], low_percentile=0, high_percentile=100)
    for part in everything(data):
        assert (part.images[:, :, :3] == -1).all()
        assert (part.images[:, :, 13:] == -1).all()
        assert (part.images[:, :, 3:13] > -1).float().mean() > 0.99


def test_pixels_that_are_not_square_are_shown_at_their_true_shape() -> None:
    grid = torch.linspace(-20, 20, 41)
    disk = (grid[:, None] ** 2 + grid[None] ** 2).sqrt() < 12
    tall = torch.stack([disk[::2] * 1.0 + 0.001 * k for k in range(3)])  # rows 2 mm apart, columns 1 mm
    labels = (tall > 0.5).to(torch.uint8)
    volumes = [volume(tall + 0.01 * noise(seed, *tall.shape), labels, (1.0, 2.0, 1.0)) for seed in range(3)]
    shown = prepare(volumes, ("disk",), size=42).train.labels[0]
    height, width = (int(shown.any(axis).sum()) for axis in (1, 0))
    assert abs(height - width) <= 2
    assert width == pytest.approx(24, abs=2)


def test_the_spacing_is_that_of_the_padded_and_resized_slices() -> None:
    """By hand: 10 rows 2 mm apart and 16 columns of 1 mm fill a square of 20 mm: 10 x 20, made 40 x 40."""
    volumes = [volume(noise(seed, 2, 10, 16), None, (5.0, 2.0, 1.0)) for seed in range(3)]
    for part in everything(prepare(volumes, size=40)):
        torch.testing.assert_close(part.spacing_mm, torch.full((len(part), 2), 0.5))
    phantom = prepare_data(
        PhantomSpec(patients=3, slices=2, fov_mm=192), prepare=PrepareSpec(size=32), split=SplitSpec()
    )
    torch.testing.assert_close(phantom.test.spacing_mm, torch.full((2, 2), 6.0))  # 192 mm over 32 pixels


def test_where_the_source_knows_no_spacing_there_is_none() -> None:
    source = Given(volumes=tuple(volume(noise(seed, 2, 16, 16)) for seed in range(3)), scaled=False)
    data = prepare_data(source, prepare=PrepareSpec(size=16), split=SplitSpec())
    assert [part.spacing_mm for part in everything(data)] == [None, None, None]


def test_resizing_keeps_the_mean_and_gives_labels_their_majority() -> None:
    blocks = torch.zeros(2, 32, 32, dtype=torch.uint8)
    blocks[:, 8:24, 8:24] = 2
    blocks[:, 10:14, 10:14] = 1
    images = [blocks * 0.4 + noise(seed, 2, 32, 32) * 0.1 for seed in range(3)]
    data = prepare([volume(image, blocks) for image in images], ("a", "b"))
    for part in everything(data):
        assert torch.equal(part.labels[0], blocks[0, ::2, ::2])
    same = prepare([volume(image, blocks) for image in images], ("a", "b"), size=32)
    assert torch.equal(same.train.labels[0], blocks[0])
    assert float(data.train.images.mean()) == pytest.approx(float(same.train.images.mean()), abs=0.01)


def test_each_class_wins_by_its_area_inside_the_pixel_alone() -> None:
    four = torch.tensor([[1, 1, 2, 2], [1, 2, 2, 1], [0, 2, 1, 0], [2, 2, 1, 0]], dtype=torch.uint8)
    labels = torch.full((1, 32, 32), 2, dtype=torch.uint8)
    labels[0, 14:18, 14:18] = four
    shown = prepare([volume(noise(seed, 1, 32, 32), labels) for seed in range(3)], ("a", "b")).train.labels[0]
    assert shown[7:9, 7:9].tolist() == [[1, 2], [2, 0]]  # 3 of 4, 3 of 4, 3 of 4, and a tie to the lower class
    assert int((shown != 2).sum()) == 2
    thirds = torch.full((1, 48, 48), 2, dtype=torch.uint8)
    thirds[0, 21:24, 21:24] = torch.tensor([[1, 1, 1], [1, 1, 2], [2, 2, 2]])  # 5 of 9
    shown = prepare([volume(noise(seed, 1, 48, 48), thirds) for seed in range(3)], ("a", "b")).train.labels[0]
    assert shown[7, 7] == 1
    larger = prepare([volume(noise(seed, 1, 32, 32), labels) for seed in range(3)], ("a", "b"), size=64).train.labels[0]
    assert torch.equal(larger, labels[0].repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_empty_slices_are_dropped_and_counted() -> None:
    images = [noise(seed, 6, 16, 16) for seed in range(3)]
    for image in images:
        image[0] = image[5] = 0
    source = Given(volumes=tuple(volume(image) for image in images))
    *_, last = prepare_steps(source, prepare=PrepareSpec(size=16), split=SplitSpec())
    assert last.dropped_slices == 6
    assert last.data is not None
    assert all(len(part) == 4 for part in everything(last.data))
    assert last.data.train.positions.tolist() == pytest.approx([-0.6, -0.2, 0.2, 0.6])


def test_kept_slices_are_evenly_spread_and_ordered() -> None:
    data = prepare([volume(noise(seed, 21, 16, 16)) for seed in range(3)], slices_per_subject=5)
    assert data.train.positions.tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1], abs=1e-6)


def test_of_eleven_slices_four_are_spread_to_the_nearest_places() -> None:
    data = prepare([volume(noise(seed, 11, 16, 16)) for seed in range(3)], slices_per_subject=4)
    assert ((data.train.positions + 1) * 5).tolist() == pytest.approx([0, 3, 7, 10], abs=1e-5)  # of 3 1/3 and 6 2/3
    assert len(prepare([volume(noise(seed, 2, 16, 16)) for seed in range(3)], slices_per_subject=3).train) == 2


def test_only_labelled_slices_and_only_a_range_can_be_kept() -> None:
    labels = torch.zeros(5, 16, 16, dtype=torch.uint8)
    labels[1:3, 4, 4] = 1
    volumes = [volume(noise(seed, 5, 16, 16), labels) for seed in range(3)]
    assert prepare(volumes, ("a",), keep="labelled").train.positions.tolist() == [-0.5, 0]
    assert prepare(volumes, ("a",), positions=(-0.6, 0.6)).train.positions.tolist() == [-0.5, 0, 0.5]


def test_patients_are_numbers_and_no_name_survives() -> None:
    data = prepare([volume(noise(seed, 3, 16, 16)) for seed in range(10)])
    for part in everything(data):
        numbers = part.subjects.unique().tolist()
        assert numbers == list(range(len(numbers)))
        assert part.subjects.bincount().tolist() == [3] * len(numbers)
    assert "secret" not in repr(data.summary())
    assert [len(part.subjects.unique()) for part in everything(data)] == [6, 1, 3]


def test_progress_counts_patients_and_the_last_step_has_the_data() -> None:
    source = PhantomSpec(patients=4, slices=2, size=16)
    steps = list(prepare_steps(source, prepare=PrepareSpec(size=16), split=SplitSpec()))
    assert [(step.done, step.total) for step in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [step.data is None for step in steps] == [True, True, True, False]


@pytest.mark.parametrize("twin", [1, 2, 3])  # in one part of the split or in two
def test_one_slice_under_two_patients_is_refused(twin: int) -> None:
    images = [noise(seed, 3, 16, 16) for seed in range(4)]
    images[twin] = images[0].clone()
    with pytest.raises(DataError, match="a slice must belong to one patient"):
        prepare([volume(image) for image in images])


def test_one_slice_twice_in_one_patient_is_allowed() -> None:
    twice = [volume(noise(seed, 1, 16, 16).expand(3, 16, 16)) for seed in range(3)]
    assert sum(len(part) for part in everything(prepare(twice))) == 9


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(DataError, match="at least 3 patients, but got 2"):
        prepare([volume(noise(seed, 3, 16, 16)) for seed in range(2)])


def test_a_volume_that_shows_nothing_is_refused() -> None:
    images = [noise(0, 3, 16, 16), noise(1, 3, 16, 16), torch.full((3, 16, 16), 7.0)]
    with pytest.raises(DataError, match="every voxel is 7"):
        prepare([volume(image) for image in images])


def test_the_same_settings_give_the_same_digest_and_others_another() -> None:
    source = PhantomSpec(patients=4, slices=2, size=16)
    digests = [
        prepare_data(source, prepare=PrepareSpec(size=16, high_percentile=high), split=SplitSpec(seed=seed)).digest
        for high, seed in ((99.5, 0), (99.5, 0), (95, 0), (99.5, 1))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    "name, value",
    [("low_percentile", 60), ("high_percentile", 101), ("size", 0), ("positions", (0.5, 0.5)), ("size_typo", 0)],
)
def test_settings_that_make_no_sense_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        PrepareSpec(**{name: value})
