"""Phantom patients: reproducible, varied, with labels that are exact by construction."""

import time

import pytest
import torch
from pydantic import ValidationError

from sbldm.data import PhantomSpec, Subject
from sbldm.data.sources.anatomy import Frame
from sbldm.data.sources.lesions import grow_lesions
from sbldm.data.sources.phantom import most_likely
from sbldm.data.sources.template import load_template
from sbldm.seeding import generator

SMALL = {"size": 32, "slices": 4}


def read(index: int = 1, **settings: object) -> tuple[torch.Tensor, torch.Tensor]:
    volume = PhantomSpec(**(SMALL | settings)).read(Subject(f"phantom-{index:05d}"))
    assert volume.labels is not None
    return volume.image, volume.labels


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def test_a_patient_is_the_same_among_three_or_three_thousand() -> None:
    few, many = read(patients=3), read(patients=3000)
    assert torch.equal(few[0], many[0])
    assert torch.equal(few[1], many[1])


def test_patients_and_seeds_differ_in_shape_and_in_look() -> None:
    image, labels = read()
    for other_image, other_labels in (read(2), read(seed=1)):
        assert correlation(image, other_image) < 0.98
        changed = (labels != other_labels).float().mean()
        assert 0.03 < changed < 0.5  # another person, yet a brain


def test_deformation_zero_gives_everyone_the_average_anatomy() -> None:
    labels, others = read(deformation=0.0)[1], read(2, deformation=0.0)[1]
    flipped = others.flip(-1)
    agreement = max(float((labels == other).float().mean()) for other in (others, flipped))
    assert agreement > 0.97  # sharpness of the borders still differs a little


def test_contrast_and_lesions_leave_the_anatomy_alone() -> None:
    plain, flair = read(), read(contrast="flair")
    assert torch.equal(plain[1], flair[1])
    with_lesion = read(lesion_probability=1.0)
    spared = with_lesion[1] != 4
    assert torch.equal(plain[1][spared], with_lesion[1][spared])
    assert set(plain[1][~spared].tolist()) <= {1, 2, 3}


@pytest.mark.parametrize("contrast, order", [("t1", (1, 2, 3)), ("flair", (1, 3, 2))])
def test_tissues_have_the_brightness_of_their_contrast(contrast: str, order: tuple[int, ...]) -> None:
    image, labels = read(contrast=contrast, size=64)
    means = [float(image[labels == tissue].mean()) for tissue in order]
    assert means == sorted(means)
    assert image[labels == 0].max() <= image[labels > 0].max()


def test_the_label_is_the_largest_share_and_the_rest_is_background() -> None:
    shares = torch.tensor([[0.1, 0.5, 0.2, 0.0], [0.2, 0.3, 0.2, 0.0], [0.6, 0.2, 0.2, 0.1]]).reshape(3, 1, 1, 4)
    assert most_likely(shares).flatten().tolist() == [3, 1, 0, 0]


def test_lesions_come_as_often_as_asked_and_never_unasked() -> None:
    counts = {p: sum(bool((read(i, lesion_probability=p)[1] == 4).any()) for i in range(20)) for p in (0.0, 0.5, 1.0)}
    assert counts[0.0] == 0
    assert 4 <= counts[0.5] <= 16  # outside with probability 0.3 %
    assert counts[1.0] == 20
    assert PhantomSpec().label_names == ("csf", "gm", "wm")
    assert PhantomSpec(lesion_probability=0.1).label_names == ("csf", "gm", "wm", "lesion")


@pytest.mark.parametrize("place, tissue", [("gm", 1), ("wm", 2)])
def test_a_lesion_keeps_to_its_radius_and_is_centered_in_its_tissue(place: str, tissue: int) -> None:
    frame = Frame(size=64, fov_mm=128.0, z_mm=torch.linspace(-20, 20, 11))
    tissues = torch.zeros(3, 11, 64, 64)
    tissues[tissue, 5, 32, 32] = 1.0  # the one place where a center may be
    tissues[1:] = tissues[1:].clamp(min=0.5)
    grown = grow_lesions(
        tissues, frame, probability=1.0, radius_mm=(10.0, 10.0), place=place, random=generator(3, "test")
    )
    torch.testing.assert_close(grown.sum(0), tissues.sum(0))
    distance = (frame.points(64) - frame.points(64)[5, 32, 32]).norm(dim=-1)
    assert grown[3][distance > 12 + 4].max() < 0.01  # the surface is uneven by a fifth, and its edge 0.8 mm soft
    assert (grown[3][distance < 8 - 4] > 0.9 * tissues[1:].sum(0)[distance < 8 - 4]).all()


def test_slices_at_the_same_height_agree_however_many_there_are() -> None:
    three, five = read(slices=3, deformation=1.0), read(slices=5, deformation=1.0)
    assert (three[1] == five[1][::2]).float().mean() > 0.9  # only the fine folds are drawn per stack


def test_the_template_is_tissue_that_sums_to_the_brain() -> None:
    tissues = load_template(2).tissues[:3]
    total = tissues.sum(0)
    assert tissues.min() >= 0
    assert total.max() <= 1.01  # stored in 256 steps
    liters = float(total.sum()) * 2**3 / 1e6
    assert 1.4 < liters < 2.1  # an adult's brain with its fluid


def test_a_point_of_the_template_is_where_the_atlas_says() -> None:
    template = load_template(2)
    at = torch.tensor([[0.0, -10, 23], [28.0, -20, 28], [0.0, 120, 0]])  # lateral ventricles, white matter, air
    csf, _, white = template.sample(template.tissues[:3], at[None, None])[:, 0, 0]
    beside = template.sample(template.tissues[:3], torch.tensor([[[[8.0, -10, 20]]]]))[0].item()
    assert beside > 0.5
    assert white[1] > 0.8
    assert csf[2] == white[2] == 0


@pytest.mark.parametrize(
    "settings", [{"z_mm": (10, 0)}, {"z_mm": (-90, 0)}, {"lesion_radius_mm": (9, 5)}, {"patients": 0}, {"slcies": 3}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PhantomSpec(**settings)


@pytest.mark.slow
def test_two_hundred_slices_a_second_on_one_core() -> None:
    source, threads = PhantomSpec(patients=25, slices=16), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        started = time.process_time()
        for subject in source.subjects():
            source.read(subject)
        assert 25 * 16 / (time.process_time() - started) > 200
    finally:
        torch.set_num_threads(threads)
