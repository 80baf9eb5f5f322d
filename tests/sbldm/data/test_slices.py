"""A slice set is whole and in range, or it does not come to be."""

import pytest
import torch

from sbldm.data import PreparedData, SliceSet, Volume
from sbldm.errors import DataError


def slice_set(count: int = 3, **changes: object) -> SliceSet:
    fields = {
        "images": torch.linspace(-1, 1, count * 16).reshape(count, 1, 4, 4),
        "labels": (torch.arange(count * 16) % 3).reshape(count, 4, 4).to(torch.uint8),
        "subjects": torch.arange(count),
        "positions": torch.linspace(-1, 1, count),
        "label_names": ("a", "b"),
    }
    return SliceSet(**(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"images": torch.full((3, 1, 4, 4), 1.01)},
        {"images": torch.full((3, 1, 4, 4), float("nan"))},
        {"positions": torch.tensor([0.0, 0.5, 1.5])},
        {"labels": torch.full((3, 4, 4), 3, dtype=torch.uint8)},
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(DataError, match="must"):
        slice_set(**changes)


def test_the_digest_names_what_is_learned_from_whatever_the_spacing() -> None:
    apart = torch.full((3, 2), 0.5)
    assert slice_set(spacing_mm=apart).digest() == slice_set().digest()
    assert slice_set(spacing_mm=apart).select(slice(1, 3)).spacing_mm.equal(apart[1:])  # type: ignore[union-attr]


def test_select_takes_numbers_a_mask_and_a_range_alike() -> None:
    data = slice_set(4)
    chosen = [
        data.select(torch.tensor([1, 2])),
        data.select(torch.tensor([False, True, True, False])),
        data.select(slice(1, 3)),
    ]
    assert len({part.digest() for part in chosen}) == 1
    assert chosen[0].subjects.tolist() == [1, 2]
    torch.testing.assert_close(chosen[0].images, data.images[1:3], rtol=0, atol=0)


def test_the_digest_sees_every_field_and_the_order() -> None:
    data = slice_set()
    others = [
        slice_set(images=data.images * 0.999),
        slice_set(labels=data.labels.flip(0)),
        slice_set(subjects=data.subjects.flip(0)),
        slice_set(positions=data.positions.flip(0)),
        slice_set(label_names=("a", "c")),
        data.select(torch.tensor([2, 1, 0])),
    ]
    assert len({data.digest(), *(other.digest() for other in others)}) == 7
    assert slice_set().digest() == data.digest()
    view = slice_set(images=data.images.repeat(1, 1, 1, 2)[..., :4])
    assert view.digest() == slice_set(images=view.images.contiguous()).digest()


def test_parts_must_be_alike_and_not_empty() -> None:
    with pytest.raises(DataError, match="validation has none"):
        PreparedData(slice_set(), slice_set().select(slice(0, 0)), slice_set(), "x")
    with pytest.raises(DataError, match="one list of labels"):
        PreparedData(slice_set(), slice_set(label_names=("a", "c")), slice_set(), "x")


def test_the_summary_counts_by_hand() -> None:
    data = PreparedData(slice_set(3), slice_set(1), slice_set(2), "s")
    parts = data.summary()["parts"]
    assert parts["train"] == {"patients": 3, "slices": 3, "label_pixels": {"a": 16, "b": 16}}
    assert parts["validation"] == {"patients": 1, "slices": 1, "label_pixels": {"a": 5, "b": 5}}
    assert slice_set().classes == 3


@pytest.mark.parametrize("spacing_mm", [(0.0, 1.0, 1.0), (1.0, 1.0, 21.0), (1.0, float("nan"), 1.0), (1.0, 1e-9, 1.0)])
def test_a_volume_refuses_spacing_that_is_an_error(spacing_mm: tuple[float, float, float]) -> None:
    image = torch.zeros(2, 3, 4)
    with pytest.raises(DataError, match="spacing"):
        Volume(image, None, spacing_mm, torch.zeros(2))
