"""The sheet shows slices where it should, in their own grey."""

import torch

from sbldm.data import SliceSet, contact_sheet


def slice_set(count: int, names: tuple[str, ...] = ()) -> SliceSet:
    images = torch.linspace(-1, 1, count)[:, None, None, None].expand(count, 1, 4, 4).contiguous()
    labels = torch.zeros(count, 4, 4, dtype=torch.uint8)
    labels[:, 0, 0] = len(names)
    return SliceSet(images, labels, torch.zeros(count, dtype=torch.long), torch.zeros(count), names)


def test_slices_fill_the_rows_in_order_and_the_rest_is_black() -> None:
    sheet = contact_sheet(slice_set(5), columns=3)
    assert sheet.shape == (3, 8, 12)
    tiles = sheet[0].reshape(2, 4, 3, 4)[:, 1, :, 1].flatten()
    torch.testing.assert_close(tiles, torch.tensor([0, 0.25, 0.5, 0.75, 1, 0]))


def test_many_slices_are_thinned_evenly() -> None:
    sheet = contact_sheet(slice_set(101), columns=3, rows=1)
    torch.testing.assert_close(sheet[0, 1, 1::4], torch.tensor([0, 0.5, 1]))


def test_labels_color_their_pixels_only_below_the_plain_slices() -> None:
    sheet = contact_sheet(slice_set(2, ("a", "b")), columns=2)
    plain, colored = sheet[:, :4], sheet[:, 4:]
    assert (plain[0] == plain[1]).all()
    changed = (plain != colored).any(0)
    assert changed.nonzero().tolist() == [[0, 0], [0, 4]]
    assert sheet.min() >= 0
    assert sheet.max() <= 1


def test_the_first_class_is_shown_in_red_and_the_second_in_cyan() -> None:
    data = slice_set(3, ("a", "b"))
    data.labels[:, 0, 1] = 1
    colored = contact_sheet(data, columns=3)[:, 4:, 4:8]  # the middle slice, whose grey is 0.5
    grey = 0.55 * 0.5
    torch.testing.assert_close(colored[:, 0, 1], torch.tensor([grey + 0.45, grey + 0.045, grey + 0.045]))
    torch.testing.assert_close(colored[:, 0, 0], torch.tensor([grey + 0.045, grey + 0.45, grey + 0.45]))
    torch.testing.assert_close(colored[:, 1, 1], torch.full((3,), 0.5))
