import pytest
import torch

from sbldm.nn import borrowed_generator
from sbldm.nn.networks import UNet


def test_the_lowest_resolution_alone_has_attention_by_default() -> None:
    assert UNet().attention_levels == (False, False, True)
    assert UNet(channel_mult=(1, 2), attention=(True, False)).attention_levels == (True, False)


def test_three_resolutions_need_latents_divisible_by_four() -> None:
    assert UNet().grid == 4
    assert UNet().widths == (64, 128, 256)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"norm_groups": 24}, "norm_groups must divide model_channels x channel_mult, but 24 does not divide 64"),
        ({"head_channels": 24}, "head_channels must divide .* but 24 does not divide 256"),
        ({"attention": (True,)}, "each of the 3 resolutions"),
        ({"channel_mult": ()}, "factors of 1 or more"),
        ({"channel_mult": (1, 0)}, "factors of 1 or more"),
        ({"dropout": 1.0}, "less than 1"),
    ],
)
def test_parts_that_disagree_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNet.model_validate(changes)


@pytest.mark.slow  # imports MONAI
def test_dropout_works_while_training_only() -> None:
    spec = UNet(model_channels=8, channel_mult=(1, 2), num_res_blocks=1, norm_groups=4, head_channels=8, dropout=0.5)
    with borrowed_generator(0, "test"):
        network = spec.build(3, 2)
        for weight in network.parameters():
            weight.data += 0.1 * torch.randn(weight.shape)
    arguments = torch.ones(1, 3, 4, 4), torch.tensor([5]), torch.zeros(1, 2)
    with torch.no_grad():
        assert not torch.equal(network.train()(*arguments), network(*arguments))
        assert torch.equal(network.eval()(*arguments), network(*arguments))
