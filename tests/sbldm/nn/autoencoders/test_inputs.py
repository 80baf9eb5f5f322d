import math
from typing import Any

import pytest
import torch

from sbldm.nn.autoencoders import Patch, Posterior, autoencoder_loss, class_weights, pack, reconstruction_loss, unpack

IMAGES = torch.tensor([[[[-0.5, 0.5], [1.0, -1.0]]]])
LABELS = torch.tensor([[[0, 1], [2, 0]]], dtype=torch.uint8)


def test_each_class_but_the_background_becomes_a_channel_of_plus_and_minus_one() -> None:
    x = pack(IMAGES, LABELS, 3)
    expected = torch.tensor([[[-0.5, 0.5], [1, -1]], [[-1, 1], [-1, -1]], [[-1, -1], [1, -1]]])
    torch.testing.assert_close(x[0], expected)


def test_unpacking_undoes_packing() -> None:
    images, labels = unpack(pack(IMAGES, LABELS, 3), 3)
    assert torch.equal(images, IMAGES)
    assert torch.equal(labels, LABELS)


@pytest.mark.parametrize(
    "scores, winner",
    [
        ((0.3, 0.4), 2),
        ((-0.2, -0.4), 1),  # .4, .3 and so .3 for the background: likeliest, though less likely than not
        ((-0.5, -0.5), 0),  # .25, .25 and .5
    ],
)
def test_the_likeliest_class_wins_the_background_included(scores: tuple[float, float], winner: int) -> None:
    x = torch.tensor([0.0, *scores]).reshape(1, 3, 1, 1)
    assert int(unpack(x, 3)[1]) == winner


def test_with_one_class_the_threshold_is_halfway_between_absent_and_present() -> None:
    x = torch.tensor([[0.0, 0.01], [0.0, -0.01]]).reshape(2, 2, 1, 1)
    assert unpack(x, 2)[1].flatten().tolist() == [1, 0]


def test_unpacked_images_are_clamped() -> None:
    x = torch.tensor([[2.0, 0.0], [-3.0, 0.0]]).reshape(2, 2, 1, 1)
    assert unpack(x, 2)[0].flatten().tolist() == [1.0, -1.0]


def test_rare_classes_weigh_more_as_the_power_of_their_variance_says() -> None:
    labels = torch.full((1, 4, 10, 10), -1.0)
    labels[0, 0, :5] = 1.0  # half of the pixels: variance 1
    labels[0, 1, 0, 0] = 1.0  # one of 100: variance 4 x .01 x .99
    labels[0, 2, :2, 0] = 1.0  # two of 100: variance 4 x .02 x .98; class 4 never occurs
    raw = torch.tensor([1.0, 0.0396, 0.0784], dtype=torch.float64) ** -0.5
    found = class_weights(labels, 0.5)
    torch.testing.assert_close(found[:3], raw / raw.mean())
    assert float(found[3]) == 1.0
    assert class_weights(labels, 0.0).tolist() == [1.0] * 4


@pytest.mark.parametrize("kind", ["mse", "cross-entropy"])
def test_equal_class_weights_change_nothing_and_unequal_ones_what_they_say(kind: Any) -> None:
    x = pack(IMAGES, LABELS, 3)
    decoded = x.clone()
    decoded[:, 1] += 1.0
    spec = Patch(label_loss=kind)
    plain = float(reconstruction_loss(decoded, x, 3, spec))
    weights = torch.ones(2, dtype=torch.float64)
    assert float(reconstruction_loss(decoded, x, 3, spec, weights)) == plain
    weights = torch.tensor([1.5, 0.5], dtype=torch.float64)
    uneven = float(reconstruction_loss(decoded, x, 3, spec, weights))
    if kind == "mse":  # only class 1 is wrong
        assert uneven == pytest.approx(1.5 * plain)
    else:
        assert uneven != pytest.approx(plain)


def test_without_labels_all_is_background() -> None:
    images, labels = unpack(pack(IMAGES, torch.zeros_like(LABELS), 1), 1)
    assert torch.equal(images, IMAGES)
    assert labels.sum() == 0


@pytest.mark.parametrize("weight, expected", [(0.0, 0.04), (1.0, 0.04 + 0.5), (3.0, 0.04 + 1.5)])
def test_the_loss_is_the_image_s_plus_the_weighted_label_s(weight: float, expected: float) -> None:
    x = pack(IMAGES, LABELS, 3)
    decoded = x.clone()
    decoded[:, 0] += 0.2
    decoded[:, 1] += 1.0  # one of two label channels is off by 1
    loss = reconstruction_loss(decoded, x, 3, Patch(label_weight=weight))
    torch.testing.assert_close(float(loss), expected)


def test_cross_entropy_reads_scores_as_logits_beside_the_background_s() -> None:
    x = pack(IMAGES, LABELS, 3)
    decoded = x.clone()
    decoded[:, 1:] = -1 / 3  # knows nothing: three equal logits, for (1 - 2) + 2 / 3 = -1 / 3
    spec = Patch(label_loss="cross-entropy", label_weight=2.0)
    torch.testing.assert_close(float(reconstruction_loss(decoded, x, 3, spec)), 2 * math.log(3))
    decoded[:, 1:] = 50 * x[:, 1:]
    torch.testing.assert_close(float(reconstruction_loss(decoded, x, 3, spec)), 0.0, rtol=0, atol=1e-6)


def test_divergence_is_zero_for_the_standard_normal_and_as_by_hand_elsewhere() -> None:
    zero = torch.zeros(1, 1, 1, 1)
    assert float(Posterior(zero, zero).divergence()) == 0
    by_hand = 0.5 * (9 + 4 - 1 - math.log(4))  # N(3, 2^2) from N(0, 1)
    torch.testing.assert_close(float(Posterior(zero + 3, zero + math.log(4)).divergence()), by_hand)


@pytest.mark.parametrize("step, weight", [(1, 0.025), (20, 0.5), (40, 1.0), (400, 1.0)])
def test_the_divergence_s_weight_rises_over_the_warm_up(step: int, weight: float) -> None:
    x = pack(IMAGES, LABELS, 3)
    posterior = Posterior(torch.full((1, 1, 1, 1), 2.0), torch.zeros(1, 1, 1, 1))  # divergence 2
    spec = Patch(kl_weight=1.0, kl_warmup_steps=40)
    loss = autoencoder_loss(x, x, posterior, classes=3, spec=spec, step=step)
    torch.testing.assert_close(float(loss), 2 * weight)


def test_a_draw_from_the_posterior_has_its_mean_and_spread() -> None:
    posterior = Posterior(torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), math.log(9.0)))
    assert float(posterior.sample(torch.full((1, 1, 1, 1), -1.0))) == pytest.approx(-1.0)
