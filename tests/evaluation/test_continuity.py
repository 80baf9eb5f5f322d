import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from evaluation import ImageSet
from evaluation.continuity import Volumes, continuity, independent_continuity, neighbors

SIDE = 24


def make(n=6, slices=5, *, drift=0.05, seed=0, positions=None):
    """Draw volumes of smooth slices that drift along z: neighbors differ by 1 drift, strangers altogether."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape):
        coarse = torch.rand((*shape, 6, 6), generator=random)
        return torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=True)

    images = (0.4 + 0.2 * draw(n, 1) + drift * draw(n, slices).cumsum(1)).flatten(0, 1)[:, None].clamp(0, 1)
    labels = (images[:, 0] * 6).floor().to(torch.uint8) % 4
    places = torch.linspace(-1, 1, slices) if positions is None else positions
    return Volumes(ImageSet(images, torch.arange(n).repeat_interleave(slices)), labels, places.repeat(n), 3)


def select(volumes, rows):
    kept = ImageSet(volumes.images.images[rows], volumes.images.groups[rows])
    return Volumes(kept, volumes.labels[rows], volumes.positions[rows], volumes.classes)


def points(results):
    return {result.name: result.point for result in results}


def test_neighbors_are_the_slices_one_step_apart_in_one_volume():
    volumes = make(2, 3)
    first, second = neighbors(volumes, step=volumes.step)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (1, 2), (3, 4), (4, 5)]
    first, second = neighbors(volumes, step=2 * volumes.step)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (3, 5)]


def test_a_gap_is_no_neighborhood():
    whole = make(2, 4)
    holed = select(whole, torch.tensor([0, 2, 3, 4, 5, 6, 7]))
    first, second = neighbors(holed, step=whole.step)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(1, 2), (3, 4), (4, 5), (5, 6)]


def test_patients_of_other_slice_counts_have_neighbors_too():
    """Positions reach from -1 to 1 in every patient, whether by 9, 8 or 10 slices; by 21 they lie too close."""
    positions = [torch.linspace(-1, 1, slices) for slices in (9, 9, 8, 10, 21)]
    groups = torch.cat([torch.full((len(places),), k) for k, places in enumerate(positions)])
    images = ImageSet(torch.rand(57, 1, 16, 16, generator=torch.Generator().manual_seed(0)), groups)
    volumes = Volumes(images, torch.zeros(57, 16, 16, dtype=torch.uint8), torch.cat(positions), 0)
    first, second = neighbors(volumes, step=0.25)
    pairs = {(int(one), int(other)) for one, other in zip(first, second, strict=True)}
    adjacent = {(k, k + 1) for k in range(35) if groups[k] == groups[k + 1]}
    assert {pair for pair in pairs if pair[0] < 36} == adjacent
    assert all(other - one in (2, 3) for one, other in pairs if one >= 36)


def test_the_scores_are_those_of_scikit_image_and_of_plain_numpy():
    volumes = make(3, 4)
    images = volumes.images.images[:, 0].double().numpy().reshape(3, 4, SIDE, SIDE)
    labels = volumes.labels.numpy().reshape(3, 4, SIDE, SIDE)
    similar, dice = np.zeros((3, 3)), np.zeros((3, 3, 3))
    for v in range(3):
        for z in range(3):
            one, other = images[v, z], images[v, z + 1]
            _, full = structural_similarity(
                one, other, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
            )
            similar[v, z] = full[5:-5, 5:-5].mean()
            for kind in (1, 2, 3):
                a, b = labels[v, z] == kind, labels[v, z + 1] == kind
                dice[v, z, kind - 1] = 2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else np.nan
    found = points(continuity(volumes))
    assert found["neighbor_ssim"] == pytest.approx(similar.mean(), rel=1e-9)
    assert found["neighbor_error"] == pytest.approx(np.abs(np.diff(images, axis=1)).mean(), rel=1e-6)
    assert found["neighbor_dice"] == pytest.approx(np.nanmean(np.nanmean(dice, 2), 1).mean(), rel=1e-9)


def test_one_slice_repeated_shares_everything():
    found = points(continuity(make(drift=0.0)))
    assert found == pytest.approx({"neighbor_ssim": 1.0, "neighbor_error": 0.0, "neighbor_dice": 1.0}, abs=1e-9)


def test_continuity_falls_as_slices_drift():
    results = [points(continuity(make(drift=drift))) for drift in (0.02, 0.05, 0.1)]
    assert results[0]["neighbor_ssim"] > results[1]["neighbor_ssim"] > results[2]["neighbor_ssim"]
    assert results[0]["neighbor_error"] < results[1]["neighbor_error"] < results[2]["neighbor_error"]
    assert results[0]["neighbor_dice"] > results[1]["neighbor_dice"] > results[2]["neighbor_dice"]


def test_the_order_of_rows_is_irrelevant():
    volumes = make()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    shuffled = select(volumes, order)
    for measure in (continuity, independent_continuity):
        for one, other in zip(measure(volumes), measure(shuffled), strict=True):
            assert (one.point, one.low, one.high) == pytest.approx((other.point, other.low, other.high), rel=1e-9)


def test_borrowed_neighbors_are_what_shuffled_volumes_show():
    """Slice z of shuffled volume v is slice z of volume v + z: each neighbor then comes from the next volume."""
    n, slices = 6, 5
    volumes = make(n, slices)
    source = (torch.arange(n)[:, None] + torch.arange(slices)) % n * slices + torch.arange(slices)
    images = volumes.images.images[source.flatten()]
    labels = volumes.labels[source.flatten()]
    shuffled = Volumes(ImageSet(images, volumes.images.groups), labels, volumes.positions, 3)
    borrowed, expected = points(independent_continuity(volumes)), points(continuity(shuffled))
    assert borrowed == pytest.approx(expected, rel=1e-9)
    assert borrowed["neighbor_ssim"] < points(continuity(volumes))["neighbor_ssim"] - 0.05


def test_slices_that_know_nothing_of_each_other_have_the_continuity_of_borrowed_ones():
    strangers = make(40, 4, seed=3)
    alone = ImageSet(make(160, 1, seed=4).images.images, strangers.images.groups)
    volumes = Volumes(alone, strangers.labels, strangers.positions, 0)
    for one, other in zip(continuity(volumes), independent_continuity(volumes), strict=True):
        assert other.low < one.point < other.high


def test_a_pair_without_a_stranger_nearby_is_dropped():
    """Volume 1 ends before volume 0 does, so the last neighbor cannot be borrowed from it."""
    volumes = select(make(2, 4), torch.tensor([0, 1, 2, 3, 4, 5]))
    assert {result.n["pairs"] for result in continuity(volumes)} == {4}
    assert {result.n["pairs"] for result in independent_continuity(volumes)} == {2}


def test_intervals_count_volumes_and_narrow_with_them():
    few, many = (continuity(make(n, seed=5)) for n in (4, 64))
    for small, large in zip(few, many, strict=True):
        assert small.n == {"volumes": 4, "pairs": 16}
        assert large.low < large.point < large.high
        assert large.high - large.low < 0.6 * (small.high - small.low)


def test_a_pair_of_unlabelled_slices_has_no_dice():
    volumes = make(3, 3)
    volumes.labels[:2] = 0  # the first pair of the first volume shows no class
    *_, dice = continuity(volumes)
    rest = select(volumes, torch.arange(1, 9))
    assert dice.point == pytest.approx(continuity(rest, step=volumes.step)[2].point, rel=1e-12)
    assert len(continuity(Volumes(volumes.images, volumes.labels, volumes.positions, 0))) == 2


@pytest.mark.usefixtures("_as_users_run")
def test_what_has_no_neighbors_is_refused():
    volumes = make(3, 1)
    with pytest.raises(ValueError, match="2 slices or more"):
        continuity(volumes)
    with pytest.raises(ValueError, match="one step apart"):
        continuity(make(3, 3), step=0.7)
    with pytest.raises(ValueError, match="2 volumes or more"):
        independent_continuity(make(1, 3))
    with pytest.raises(ValueError, match="more than 0 apart"):
        neighbors(volumes, step=-1.0)
    with pytest.raises(ValueError, match="a label map and a position"):
        Volumes(volumes.images, volumes.labels[:1], volumes.positions, 3)
