import numpy as np
import pytest
import torch

from evaluation import ImageSet, stand_alone
from evaluation.copies import copies_constraint
from evaluation.memorization import memorization
from evaluation.pixel_copies import ImageNeighbors, pixel_features, pixel_memorization, pixel_reference

SLICES = 3


def heads(seed, patients, size=48):
    """Bright ellipses on black with smooth insides; the slices of one patient resemble each other."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, size)
    shape = 0.55 + 0.15 * torch.rand((patients, 2, 1, 1, 1), generator=generator)
    inside = ((axis[:, None] / shape[:, 0]) ** 2 + (axis[None, :] / shape[:, 1]) ** 2 < 1).float()
    own = torch.rand((patients, 1, 9, 9), generator=generator).repeat_interleave(SLICES, 0)
    coarse = 0.7 * own + 0.3 * torch.rand(own.shape, generator=generator)
    texture = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)
    images = inside.repeat_interleave(SLICES, 0) * (0.2 + 0.7 * texture)
    return ImageSet(images.clamp(0, 1), torch.arange(patients).repeat_interleave(SLICES))


def hide(images, seed=5, noise=0.03):
    """Move by up to 1/8 of the side, flip every second, add noise."""
    generator = torch.Generator().manual_seed(seed)
    shifts = torch.randint(-5, 6, (len(images), 2), generator=generator).tolist()
    moved = torch.stack(
        [image.roll((down, right), (1, 2)) for image, (down, right) in zip(images, shifts, strict=True)]
    )
    moved[::2] = moved[::2].flip(-1)
    return (moved + noise * torch.randn(moved.shape, generator=generator)).clamp(0, 1)


def planted(copies=8, fresh=12):
    train = heads(1, 20)
    sources = torch.arange(copies) * 7
    images = torch.cat([hide(train.images[sources]), heads(3, fresh).images[::SLICES]])
    return train, heads(2, 16), stand_alone(images), sources


def test_hidden_copies_are_found_and_fresh_slices_are_not():
    train, held_out, generated, sources = planted()
    audit = pixel_memorization(train, held_out, generated, calibration="held-out and training")
    flagged = {pair.generated: pair.train for pair in audit.pairs if pair.p <= audit.threshold}
    assert flagged == dict(enumerate(sources.tolist()))
    assert copies_constraint(audit) > 0
    assert audit.space == "pixel"


@pytest.mark.parametrize("calibration", ["held-out", "held-out and training"])
def test_a_reference_that_is_known_gives_the_same_audit_and_is_not_sought_again(calibration, monkeypatch):
    train, held_out, generated, _ = planted(copies=2, fresh=3)
    whole = pixel_memorization(train, held_out, generated, calibration=calibration)
    known = pixel_reference(train, held_out, calibration)
    monkeypatch.delattr("evaluation.pixel_copies.gather_reference")
    again = pixel_memorization(train, held_out, generated, calibration=calibration, reference=known)
    assert again.to_json() == whole.to_json()


def test_without_registration_the_same_copies_stay_hidden():
    train, held_out, generated, sources = planted()
    audit = memorization(*(pixel_features(images) for images in (train, held_out, generated)))
    found = [pair for pair in audit.pairs if pair.p <= audit.threshold and pair.generated < len(sources)]
    assert len(found) < len(sources) / 2


def test_fresh_slices_alone_are_feasible():
    fresh = stand_alone(heads(3, 30).images[::SLICES])
    assert copies_constraint(pixel_memorization(heads(1, 16), heads(2, 16), fresh)) <= 0


def test_a_training_slice_itself_is_at_distance_zero():
    train = heads(1, 5)
    found = ImageNeighbors(train).nearest(train.images.double().numpy(), np.zeros((15, 15), dtype=bool))
    assert found.row.tolist() == list(range(15))
    assert (found.distance == 0).all()


def test_a_barred_patient_is_not_found():
    train = heads(1, 5)
    neighbors = ImageNeighbors(train)
    barred = neighbors.patients()[None, :] == neighbors.patients()[:, None]
    found = neighbors.nearest(train.images.double().numpy(), barred)
    assert (neighbors.patients()[found.row] != neighbors.patients()).all()
    assert np.isfinite(found.distance).all()


def test_pixel_rows_are_means_of_squares_of_pixels():
    images = ImageSet(torch.arange(16.0).view(1, 1, 4, 4) / 15, torch.tensor([3]))
    features = pixel_features(images, size=2)
    np.testing.assert_allclose(features.rows, [[2.5 / 15, 4.5 / 15, 10.5 / 15, 12.5 / 15]], rtol=1e-6)  # from float32
    assert features.groups.tolist() == [3]


def test_slices_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"one shape, but got \(1, 32, 32\) and \(1, 48, 48\)"):
        pixel_memorization(heads(1, 4), heads(2, 4, 32), heads(3, 4))
