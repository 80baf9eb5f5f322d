"""Known damages to images in [0, 1]: what a metric must notice. Pure functions; the same seed, the same damage."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from evaluation.types import ImageSet


def add_noise(images: ImageSet, sigma: float, *, seed: int = 0) -> ImageSet:
    """Add normal noise of this standard deviation and clip to [0, 1]."""
    drawn = torch.randn(images.images.shape, generator=_generator(seed)).to(images.images)
    return ImageSet((images.images + sigma * drawn).clamp(0, 1), images.groups)


def blur(images: ImageSet, sigma_pixels: float) -> ImageSet:
    """Average with a Gaussian of this width, cut at 4 sigma; beyond the rim the image is mirrored."""
    if not sigma_pixels > 0:
        raise ValueError(f"sigma_pixels must be above 0, but got {sigma_pixels=}")
    reach = math.ceil(4 * sigma_pixels)
    if reach >= min(images.images.shape[-2:]):
        raise ValueError(f"a blur must reach less far than the image, but got {reach} pixels for {sigma_pixels=}")
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).double() / sigma_pixels) ** 2)
    kernel = (kernel / kernel.sum()).to(images.images)
    padded = functional.pad(images.images, (reach, reach, reach, reach), mode="reflect")
    flat = padded.flatten(0, 1).unsqueeze(1)
    flat = functional.conv2d(functional.conv2d(flat, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return ImageSet(flat.reshape(images.images.shape).clamp(0, 1), images.groups)


def bend_contrast(images: ImageSet, gamma: float) -> ImageSet:
    """Raise intensities to a power: below 1 brightens, above 1 darkens."""
    if not gamma > 0:
        raise ValueError(f"gamma must be above 0, but got {gamma=}")
    return ImageSet(images.images**gamma, images.groups)


def shuffle_tiles(images: ImageSet, tiles: int = 4, *, seed: int = 0) -> ImageSet:
    """Cut each image into `tiles` x `tiles` and put them back in an order of its own."""
    height, width = images.images.shape[-2:]
    if tiles < 1 or height % tiles or width % tiles:
        raise ValueError(f"tiles must divide the image of {height} x {width} pixels, but got {tiles=}")
    generator = _generator(seed)
    orders = [torch.randperm(tiles**2, generator=generator) for _ in range(len(images))]
    return ImageSet(
        torch.stack([_deal(image, tiles, order) for image, order in zip(images.images, orders, strict=True)]),
        images.groups,
    )


def repeat_patients(images: ImageSet, patients: int, *, seed: int = 0) -> ImageSet:
    """Draw as many images anew, from the first so many patients only: a generator that knows no others.

    Like samples of a generator, each image stands for itself.
    """
    names = torch.unique(images.groups)
    if not 1 <= patients <= len(names):
        raise ValueError(f"patients must lie between 1 and the {len(names)} there are, but got {patients=}")
    rows = torch.isin(images.groups, names[:patients]).nonzero().flatten()
    drawn = torch.randint(len(rows), (len(images),), generator=_generator(seed)).to(rows.device)
    return ImageSet(images.images[rows[drawn]], torch.arange(len(images), device=images.groups.device))


def _deal(image: Float[Tensor, "c h w"], tiles: int, order: Tensor) -> Float[Tensor, "c h w"]:
    """Put tile `order[k]` at place k, counted along the rows."""
    channels, height, width = image.shape
    cut = image.reshape(channels, tiles, height // tiles, tiles, width // tiles).permute(1, 3, 0, 2, 4)
    dealt = cut.reshape(tiles**2, channels, height // tiles, width // tiles)[order].reshape(cut.shape)
    return dealt.permute(2, 0, 3, 1, 4).reshape(channels, height, width)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
