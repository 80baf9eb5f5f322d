import pytest
import torch

from sbldm.model import CUES
from sbldm.nn import borrowed_generator
from sbldm.nn.networks import UNet
from sbldm.nn.networks.unet import ALWAYS_TOLD, UNetNetwork

TINY = UNet(model_channels=8, channel_mult=(1, 2), num_res_blocks=1, norm_groups=4, head_channels=8)


def build(cues: int) -> UNetNetwork:
    with borrowed_generator(0, "test"):
        return TINY.build(3, cues).eval()  # type: ignore[return-value]


def shake(network: UNetNetwork) -> UNetNetwork:
    """Move all weights but those of the conditions, for an untrained network predicts 0 whatever it is told."""
    draws = torch.Generator().manual_seed(0)
    for name, weight in network.named_parameters():
        if "class_embedding" not in name:
            weight.data += 0.1 * torch.randn(weight.shape, generator=draws)
    return network


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


def test_conditions_are_the_cues_behind_those_that_every_model_has() -> None:
    assert len(CUES) == ALWAYS_TOLD


@pytest.mark.slow  # imports MONAI
def test_without_conditions_the_weights_are_those_of_monai_alone() -> None:
    """Against MONAI's own network, built from the same random numbers: same names, same bits."""
    from monai.networks.nets import DiffusionModelUNet

    with borrowed_generator(0, "test"):
        bare = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=3 + ALWAYS_TOLD,
            out_channels=3,
            num_res_blocks=1,
            channels=(8, 16),
            attention_levels=(False, True),
            norm_num_groups=4,
            num_head_channels=(8, 8),
        )
    weights = build(ALWAYS_TOLD).unet.state_dict()
    assert list(weights) == list(bare.state_dict())
    assert all(torch.equal(weights[name], value) for name, value in bare.state_dict().items())


@pytest.mark.slow  # imports MONAI
@torch.no_grad()
def test_conditions_shift_the_embedded_level_once_their_last_layer_has_learned() -> None:
    """The first convolution is blinded, so that nothing but the embedding can tell the two requests apart."""
    network = shake(build(ALWAYS_TOLD + 2))
    network.unet.get_submodule("conv_in.conv").weight[:, 3:] = 0  # type: ignore[index]
    noisy, t = torch.randn(2, 3, 4, 4), torch.tensor([5, 5])
    small, large = torch.tensor([[0.1, 0.0, -1.0, 1.0]] * 2), torch.tensor([[0.1, 0.0, 2.0, 1.0]] * 2)
    assert torch.equal(network(noisy, t, small), network(noisy, t, large))
    torch.nn.init.normal_(network.unet.get_submodule("class_embedding.2").weight)  # type: ignore[arg-type]
    assert (network(noisy, t, small) - network(noisy, t, large)).abs().max() > 1e-3
