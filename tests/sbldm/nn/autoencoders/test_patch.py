import math

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional

from sbldm.data.slices import SliceSet
from sbldm.errors import ConfigError
from sbldm.nn import borrowed_generator
from sbldm.nn.autoencoders import Patch, pack
from sbldm.nn.autoencoders.patch import PatchAutoencoder
from sbldm.nn.autoencoders.pca import linear_code, patches


def built(spec: Patch, x: Tensor, classes: int = 2) -> PatchAutoencoder:
    with borrowed_generator(0, "test"):
        autoencoder = spec.build(1, classes, x.shape[-1])
    autoencoder.initialise(x)
    return autoencoder


def inputs(disks: SliceSet) -> Tensor:
    return pack(disks.images, disks.labels, disks.classes)


@torch.no_grad()
def round_trip(autoencoder: PatchAutoencoder, x: Tensor) -> Tensor:
    return autoencoder.decode(autoencoder.encode(x).mean)


def test_an_untrained_autoencoder_is_the_pca_of_patches(disks: SliceSet) -> None:
    x = inputs(disks)
    rows = functional.pixel_unshuffle(x, 4).permute(0, 2, 3, 1).reshape(-1, 32)
    pca = PCA(n_components=4, svd_solver="full").fit(rows.double().numpy())
    expected = torch.from_numpy(pca.inverse_transform(pca.transform(rows.double().numpy()))).float()
    expected = functional.pixel_shuffle(expected.reshape(24, 4, 4, 32).permute(0, 3, 1, 2), 4)
    torch.testing.assert_close(round_trip(built(Patch(hidden_dims=(8, 8)), x), x), expected, rtol=0, atol=1e-5)


def test_the_latent_spreads_as_pca_says(disks: SliceSet) -> None:
    x = inputs(disks)
    autoencoder = built(Patch(hidden_dims=(8, 8)), x)
    rows = patches(x, 4).double().numpy()
    expected = torch.from_numpy(PCA(n_components=4).fit(rows).explained_variance_).sqrt().float()
    torch.testing.assert_close(autoencoder.spread, expected, rtol=1e-2, atol=0)  # sklearn divides by n - 1
    latents = autoencoder.encode(x).mean.detach()
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), autoencoder.spread, rtol=1e-2, atol=0)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)


def test_data_on_a_plane_of_the_latent_s_dimension_comes_back_whole() -> None:
    draws = torch.Generator().manual_seed(0)
    basis = torch.randn(3, 32, generator=draws)
    codes = torch.randn(6, 4, 4, 3, generator=draws)
    x = functional.pixel_shuffle((codes @ basis + 0.3).permute(0, 3, 1, 2), 4)
    torch.testing.assert_close(round_trip(built(Patch(latent_channels=3), x), x), x, rtol=0, atol=2e-5)
    assert (round_trip(built(Patch(latent_channels=2), x), x) - x).abs().max() > 0.1


def test_the_order_of_the_slices_does_not_turn_an_axis(disks: SliceSet) -> None:
    x = inputs(disks)
    forwards, backwards = built(Patch(), x), built(Patch(), x.flip(0))
    torch.testing.assert_close(forwards.encode(x).mean, backwards.encode(x).mean, rtol=0, atol=1e-4)


def test_each_component_s_largest_loading_is_positive(disks: SliceSet) -> None:
    code = linear_code(patches(inputs(disks), 4), 6, torch.ones(32, dtype=torch.float64))
    largest = code.encode.gather(1, code.encode.abs().argmax(1, keepdim=True))
    assert bool((largest > 0).all())
    assert bool((code.spread.diff() <= 0).all())


def test_a_heavier_label_is_coded_better_at_the_image_s_cost(disks: SliceSet) -> None:
    x = inputs(disks)

    def errors(weight: float) -> list[float]:
        autoencoder = built(Patch(latent_channels=2, pca_label_weight=weight), x)
        return (round_trip(autoencoder, x) - x).square().mean(dim=(0, 2, 3)).tolist()

    (light_image, light_label), (heavy_image, heavy_label) = errors(0.1), errors(10.0)
    assert heavy_label < light_label
    assert heavy_image > light_image


def test_the_first_posterior_is_a_fixed_share_of_each_channel_s_spread(disks: SliceSet) -> None:
    autoencoder = built(Patch(posterior_std=0.2), inputs(disks))
    std = (0.5 * autoencoder.encode(inputs(disks)).log_variance).exp().detach()
    torch.testing.assert_close(std, (0.2 * autoencoder.spread)[:, None, None].expand_as(std))


def test_slices_without_labels_need_no_label_channel(disks: SliceSet) -> None:
    x = pack(disks.images, torch.zeros_like(disks.labels), 1)
    assert x.shape[1] == 1
    assert math.isfinite(float(round_trip(built(Patch(), x, classes=1), x).square().sum()))


def test_more_resolutions_than_downsample_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 3 entries at downsample 4 .* but got \[8, 8, 8, 8\]"):
        Patch(hidden_dims=(8, 8, 8, 8))


def test_more_channels_than_a_patch_has_elements_are_refused() -> None:
    with pytest.raises(ConfigError, match="must not exceed the 4 elements of a patch, but got 5"):
        Patch(latent_channels=5, downsample=2, hidden_dims=(8,)).build(1, 1, 16)
