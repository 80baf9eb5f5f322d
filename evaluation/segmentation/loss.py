"""What a segmenter is trained to make small."""

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from evaluation.segmentation.settings import SegmenterSettings

LEAST = 1e-7


def segmentation_loss(
    scores: Float[Tensor, "b k h w"], labels: UInt8[Tensor, "b h w"], settings: SegmenterSettings
) -> Float[Tensor, ""]:
    """Return the weighted sum of soft Dice and cross-entropy.

    Dice (Milletari et al. 2016, arXiv 1606.04797, with plain sums below) is summed over the batch and averaged over
    the foreground classes that the batch holds.
    """
    target = labels.long()
    entropy = nn.functional.cross_entropy(scores, target)
    shares = scores.softmax(1)[:, 1:]
    truth = nn.functional.one_hot(target, scores.shape[1]).movedim(-1, 1)[:, 1:].to(shares)
    both, sizes = (shares * truth).sum((0, 2, 3)), (shares + truth).sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    overlap = (2 * both / sizes.clamp(min=LEAST)).clamp(min=LEAST)
    missed = -overlap.log() if settings.dice_form == "log" else 1 - overlap
    dice = (missed * present).sum() / present.sum().clamp(min=1)
    return settings.dice_weight * dice + settings.cross_entropy_weight * entropy
