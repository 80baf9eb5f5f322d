import numpy as np
import pytest
import torch

from evaluation.label_agreement import dice_scores
from evaluation.segmentation.arms import ARMS
from evaluation.segmentation.augment import AugmentSettings
from evaluation.segmentation.pool import Part, Pool
from evaluation.segmentation.segmenter import build_segmenter, predict
from evaluation.segmentation.settings import SegmenterSettings
from evaluation.segmentation.training import train_segmenter
from evaluation.segmentation.types import LabelledSet

pytestmark = pytest.mark.slow  # segmentation_models_pytorch takes three seconds to import
TINY = {"encoder": "tu-test_efficientnet", "depth": 3, "decoder_channels": (16, 8, 8)}
SHORT = SegmenterSettings(steps=6, batch=2, validate_every=2, **TINY)


def disks(n, *, seed=0, per_patient=2, size=32, names=("disk",)):
    """Bright disks on noise, anywhere: a thing that a network learns in seconds."""
    generator = torch.Generator().manual_seed(seed)
    center = 8 + (size - 16) * torch.rand((n, 2, 1, 1), generator=generator)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    labels = ((rows - center[:, 0]) ** 2 + (columns - center[:, 1]) ** 2 < 25).byte()
    images = 0.3 + 0.1 * torch.rand((n, 1, size, size), generator=generator) + 0.3 * labels[:, None]
    return LabelledSet(images, labels, torch.arange(n) // per_patient, names)


def run(pool, validation, **given):
    steps, records = train_segmenter(pool, validation, **{"settings": SHORT, "seed": 0} | given), []
    while True:
        try:
            records.append(next(steps))
        except StopIteration as finished:
            return finished.value, records


def pool_of(slices):
    return Pool((Part("real", slices),))


def weights(trained):
    return torch.cat([value.flatten().double() for value in trained.model.state_dict().values()])


def test_it_learns_to_find_disks_of_unseen_patients():
    settings = SegmenterSettings(steps=80, batch=8, validate_every=40, learning_rate=0.01, **TINY)
    trained, records = run(pool_of(disks(40)), disks(10, seed=1), settings=settings)
    test = disks(20, seed=2)
    dice = dice_scores(test.labels, predict(trained.model, test.images), test.groups, classes=1)
    untrained = predict(build_segmenter(settings, 1, 0), test.images)
    assert dice.mean() > 0.8 > 0.4 > dice_scores(test.labels, untrained, test.groups, classes=1).mean()
    assert np.mean([each.loss for each in records[-10:]]) < records[0].loss / 3


def test_the_same_arguments_return_the_same_weights():
    torch.manual_seed(1)
    first, _ = run(pool_of(disks(8)), None, augmentation=AugmentSettings())
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again, _ = run(pool_of(disks(8)), None, augmentation=AugmentSettings())
    assert torch.equal(weights(first), weights(again))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("change", [{"seed": 1}, {"augmentation": AugmentSettings()}])
def test_another_seed_or_augmentation_returns_other_weights(change):
    first, _ = run(pool_of(disks(8)), None)
    assert not torch.equal(weights(first), weights(run(pool_of(disks(8)), None, **change)[0]))


def test_every_arm_takes_the_same_steps_and_looks_at_the_same_times():
    real, synthetic = disks(6), disks(12, seed=5)
    looks = set()
    for arm in ARMS.values():
        augmentation = AugmentSettings() if arm.is_augmented else None
        pool = arm.pool(real, synthetic, ratio=1.0)
        _, records = run(pool, disks(4, seed=1), augmentation=augmentation)
        looks.add(tuple((each.step, each.learning_rate, each.dice is None) for each in records))
    assert len(looks) == 1
    assert [step for step, _, is_blind in looks.pop() if not is_blind] == [2, 4, 6]


def test_the_weights_kept_are_those_with_the_best_dice(monkeypatch):
    """The second of three looks is the best: its weights are those of a training that ends there."""
    told = iter([0.2, 0.9, 0.5])
    monkeypatch.setattr("evaluation.segmentation.training.dice_scores", lambda *_, classes: np.full((5, 1), next(told)))
    constant = SHORT.model_copy(update={"schedule": "constant"})
    best, _ = run(pool_of(disks(8)), disks(10, seed=1), settings=constant)
    ended, _ = run(pool_of(disks(8)), None, settings=constant.model_copy(update={"steps": 4}))
    assert (best.step, best.dice) == (4, 0.9)
    assert torch.equal(weights(best), weights(ended))


def test_the_dice_told_is_that_of_the_weights_kept():
    validation = disks(10, seed=1)
    trained, records = run(pool_of(disks(8)), validation)
    found = predict(trained.model, validation.images)
    again = dice_scores(validation.labels, found, validation.groups, classes=1).mean()
    assert again == trained.dice == max(each.dice for each in records if each.dice is not None)
    assert "best mean foreground Dice on 5 validation patients" in trained.rule


def test_ties_go_to_the_earliest(monkeypatch):
    monkeypatch.setattr("evaluation.segmentation.training.dice_scores", lambda *_, classes: np.full((5, classes), 0.5))
    assert run(pool_of(disks(8)), disks(10, seed=1))[0].step == 2


def test_without_validation_patients_the_last_weights_are_kept():
    trained, records = run(pool_of(disks(8)), None)
    assert trained.step == 6
    assert trained.dice is None
    assert trained.rule == "the last weights, for there are no validation patients"
    assert all(each.dice is None for each in records)


def test_looking_at_validation_patients_changes_no_training():
    _, blind = run(pool_of(disks(8)), None)
    _, seeing = run(pool_of(disks(8)), disks(10, seed=1))
    assert [each.loss for each in blind] == [each.loss for each in seeing]


def test_a_loss_that_is_not_finite_stops_the_training():
    settings = SHORT.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(FloatingPointError, match=r"segmenter step \d: loss and gradient must be finite"):
        run(pool_of(disks(8)), None, settings=settings)


def test_real_slices_are_augmented_alike_with_and_without_synthetic_ones(monkeypatch):
    seen = []
    monkeypatch.setattr("evaluation.segmentation.training.segmentation_loss", lambda scores, *_: scores.mean())
    forward = "evaluation.segmentation.segmenter.Segmenter.forward"
    monkeypatch.setattr(forward, lambda self, images: seen.append(images) or next(self.parameters()).sum() * images)
    for arm in ("real+augmentation", "real+synthetic+augmentation"):
        run(ARMS[arm].pool(disks(6), disks(6, seed=3), ratio=1.0), None, augmentation=AugmentSettings())
    for alone, beside in zip(seen[:6], seen[6:], strict=True):
        assert torch.equal(alone, beside[:2])
        assert len(beside) == 4


@pytest.mark.parametrize(
    "validation, words",
    [
        (disks(4, names=("tumor",)), "must have the classes of the pool"),
        (
            LabelledSet(torch.zeros(2, 1, 32, 32), torch.zeros(2, 32, 32).byte(), torch.arange(2), ("disk",)),
            "validation patients must show a class, but the 2 given show background",
        ),
    ],
)
def test_validation_patients_that_decide_nothing_are_refused(validation, words):
    with pytest.raises(ValueError, match=words):
        run(pool_of(disks(8)), validation)
