from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.testing import assert_close

from sbldm.diffusion.cutmix import CutMixSpec, cutmix
from sbldm.diffusion.seams import seam_energy, seam_report


def smooth(count: int, seed: int) -> Tensor:
    noise = torch.randn(count, 1, 44, 44, generator=torch.Generator().manual_seed(seed))
    for _ in range(3):
        noise = avg_pool2d(noise, 5, stride=1)
    return noise / noise.std()


def pasted(images: Callable[[int, int], Tensor], count: int, seed: int) -> Tensor:
    spec = CutMixSpec(probability=1, alpha=5, position_bins=1)
    return cutmix(images(count, seed), torch.zeros(count), spec, torch.Generator().manual_seed(seed)).latents


def disks(count: int, seed: int) -> Tensor:
    """Return images with a sharp but round edge, as tissue has."""
    rows = torch.arange(32)[:, None] - 16
    return smooth(count, seed) + 2 * ((rows**2 + rows.T**2) < 100)


def test_images_without_seams_look_like_each_other() -> None:
    report = seam_report(smooth(200, 1), smooth(200, 2))
    assert abs(report.excess) < 0.06
    assert report.generated == pytest.approx(report.real, rel=0.1)


def test_pasted_boxes_stand_out() -> None:
    report = seam_report(pasted(smooth, 100, 3), smooth(200, 2))
    assert report.share_above > 0.9
    assert report.excess == pytest.approx(report.share_above - 0.05)
    assert report.generated > 1.5 * report.real


def test_pasted_boxes_stand_out_beside_sharp_round_edges() -> None:
    assert seam_report(pasted(disks, 100, 3), disks(200, 2)).share_above > 0.7
    assert abs(seam_report(disks(200, 1), disks(200, 2)).excess) < 0.06


@pytest.mark.parametrize(
    "change",
    [
        lambda x: 3 * x - 7,
        lambda x: -x,
        lambda x: x.flip(2),
        lambda x: x.flip(3),
        lambda x: x.transpose(2, 3),
        lambda x: x.expand(-1, 3, -1, -1),
    ],
)
def test_seams_do_not_depend_on_contrast_or_orientation(change: Callable[[Tensor], Tensor]) -> None:
    images = pasted(smooth, 10, 4).double()
    assert_close(seam_energy(change(images)), seam_energy(images))


def test_seams_are_worked_out_by_hand() -> None:
    whole, corner = torch.zeros(2, 1, 1, 8, 8)
    whole[..., 4:] = 1.0
    corner[..., :3, 4:] = 1.0  # an edge of 3 pixels upright and one of 4 lying
    assert float(seam_energy(whole)) == 1
    assert float(seam_energy(corner, run=6)) == pytest.approx(4 / 6)
    assert float(seam_energy(torch.ones(1, 1, 8, 8))) == 0
    assert float(seam_energy(torch.arange(8.0).expand(1, 1, 8, 8))) == 0  # a ramp is no seam


def test_images_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        seam_report(smooth(2, 0), smooth(2, 0)[..., :16])
    with pytest.raises(ValueError, match="4 or more pixels"):
        seam_energy(torch.zeros(1, 1, 3, 8))
    with pytest.raises(ValueError, match="run=9"):
        seam_energy(torch.zeros(1, 1, 8, 8), run=9)
