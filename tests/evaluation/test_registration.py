import numpy as np
import pytest
import torch

from evaluation.registration import move, register


def slices(seed, n=6, size=32, channels=1):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((n, channels, 8, 8), generator=generator)
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)


def least_difference(fixed, moving, reach):
    """Try every flip and shift, one by one."""
    height, width = fixed.shape[-2:]
    tried = {}
    for flipped in (False, True):
        turned = np.flip(moving, -1) if flipped else moving
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                pixels = [
                    (fixed[:, row, column] - turned[:, row - down, column - right]) ** 2
                    for row in range(max(0, down), min(height, height + down))
                    for column in range(max(0, right), min(width, width + right))
                ]
                tried[flipped, down, right] = np.sqrt(np.mean(pixels))
    return min(tried.items(), key=lambda item: item[1])


def test_the_best_of_all_shifts_and_flips_is_found():
    fixed, moving = slices(1, 3, 12, 2)[..., :10].double(), slices(2, 3, 12, 2)[..., :10].double()
    found = register(fixed, moving, reach=0.2)
    for row in range(3):
        (flipped, down, right), distance = least_difference(fixed[row].numpy(), moving[row].numpy(), 2)
        assert (bool(found.flipped[row]), *found.shift[row].tolist()) == (flipped, down, right)
        assert float(found.distance[row]) == pytest.approx(distance)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("down, right", [(0, 0), (3, -4), (-2, 1)])
def test_a_moved_copy_lies_on_its_source_to_the_bit(down, right, flipped):
    """Both are windows of one larger image, so nothing comes back on the other side."""
    scene = slices(3, 4, 48).double()
    moving = scene[..., 8:40, 8:40]
    fixed = scene[..., 8 - down : 40 - down, 8 - right : 40 - right]
    moving = moving.flip(-1) if flipped else moving
    found = register(fixed, moving)
    assert found.flipped.tolist() == [flipped] * 4
    assert found.shift.tolist() == [[down, right]] * 4
    assert (found.distance == 0).all()
    moved = move(moving, found)
    seen = ~moved.isnan()
    assert torch.equal(moved[seen], fixed[seen])
    assert int(seen[0].sum()) == (32 - abs(down)) * (32 - abs(right))


def test_nothing_is_moved_further_than_the_reach():
    scene = slices(4, 5, 48).double()
    found = register(scene[..., :32, :32], scene[..., 6:38, :32], reach=1 / 8)
    assert (found.shift.abs() <= 4).all()
    assert (found.distance > 0.01).all()


def test_many_pairs_are_registered_like_each_alone(monkeypatch):
    fixed, moving = slices(5, 7), slices(6, 7)
    whole = register(fixed, moving)
    monkeypatch.setattr("evaluation.registration.PAIRS", 3)
    parts = register(fixed, moving)
    assert torch.equal(whole.shift, parts.shift)
    torch.testing.assert_close(whole.distance, parts.distance)


def test_a_reach_of_a_whole_side_is_refused():
    with pytest.raises(ValueError, match="below 1, but got reach=1"):
        register(slices(1), slices(1), reach=1.0)
