"""What torch-fidelity does to an image, for its networks that are built here from tensors."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from evaluation.features.extractor import repeat_to_rgb


def describe_preparation(side: int, scaling: str) -> str:
    """Say in words what `to_bytes` and `prepare_bytes`, or torch-fidelity itself, do."""
    return (
        "gray repeated to 3 channels; rounded to uint8; torch-fidelity's TensorFlow 1 bilinear "
        f"without antialias to {side} x {side}; {scaling}"
    )


def describe_scaling(mean: tuple[float, ...], deviation: tuple[float, ...]) -> str:
    """Say in words how the channels are normalized."""
    return f"(x / 255 - {mean}) / {deviation}"


def to_bytes(images: Float[Tensor, "b c h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """Round [0, 1] to the 8 bits that torch-fidelity accepts."""
    return repeat_to_rgb((images * 255).round()).to(torch.uint8)


def embed_bytes(network: nn.Module, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
    """Run a feature extractor of torch-fidelity that was asked for one layer."""
    (rows,) = network(to_bytes(images))
    return torch.as_tensor(rows)


def prepare_bytes(
    images: UInt8[Tensor, "b 3 h w"], side: int, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> Float[Tensor, "b 3 side side"]:
    """Resize and normalize as torch-fidelity 0.4 does before VGG16, CLIP and DINOv2."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x as resize

    resized: Tensor = resize(images.float(), size=(side, side), align_corners=False)
    center, scale = (255 * torch.tensor(values, device=images.device).view(3, 1, 1) for values in (mean, deviation))
    return (resized - center) / scale


def own_copy(tensors: Mapping[str, Tensor], load: Callable[[str], nn.Module]) -> nn.Module:
    """Hand torch-fidelity's loader, which unpickles anything, a file of our own writing."""
    with _written(tensors) as path:
        return load(str(path))


@contextmanager
def _written(tensors: Mapping[str, Tensor]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        torch.save(dict(tensors), Path(folder) / "tensors.pth")
        yield Path(folder) / "tensors.pth"
