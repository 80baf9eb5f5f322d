"""Perceptual distance of paired images: on EfficientNet-Lite0 (`pd_lite0`), and LPIPS proper on its own backbone."""

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from evaluation.features.extractor import repeat_to_rgb
from evaluation.features.lite0 import build_lite0, prepare_lite0
from evaluation.features.weights import check_digest, read_tensors
from evaluation.metric import Metric, register
from evaluation.similarity import check_paired, mean_of_scores
from evaluation.types import ImageSet, MetricResult

Backbone = Literal["alex", "vgg", "squeeze"]
SMALLEST = 64  # pixels; below, the deepest layers of an LPIPS backbone see nothing


def perceptual_distance(
    real: ImageSet, generated: ImageSet, *, batch_size: int = 32, level: float = 0.95, seed: int = 0
) -> MetricResult:
    """Average the distance of unit-normalized activations at seven depths of EfficientNet-Lite0.

    It follows LPIPS without its learned weights, on another network: never compare it with LPIPS.
    """
    _check_inputs(real, generated, batch_size)
    network = build_lite0().network

    def distance(first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        pairs = zip(_taps(network, prepare_lite0(first)), _taps(network, prepare_lite0(second)), strict=True)
        return torch.stack([_apart(a, b) for a, b in pairs]).mean(0)

    scores = paired_scores(real, generated, distance, batch_size=batch_size)
    return mean_of_scores(
        "pd_lite0",
        scores,
        real,
        generated,
        direction="lower",
        note="seven depths, equal weights; not LPIPS",
        extractor="lite0",
        level=level,
        seed=seed,
    )


register(
    Metric(
        name="pd_lite0",
        direction="lower",
        on="images",
        on_itself=0.0,
        bounds=(0.0, np.inf),
        symmetric=True,
        unbiased=True,
        measure=perceptual_distance,
    )
)


def lpips(
    real: ImageSet,
    generated: ImageSet,
    *,
    weights: Path | None,
    backbone: Backbone = "alex",
    batch_size: int = 16,
    level: float = 0.95,
    seed: int = 0,
) -> MetricResult:
    """Average LPIPS v0.1; `weights` is torchvision's ImageNet file of the backbone, which no wheel carries.

    The images' [0, 1] becomes [-1, 1], the data range LPIPS was trained on; gray is repeated to three channels.
    """
    _check_inputs(real, generated, batch_size)
    if min(real.images.shape[-2:]) < SMALLEST:
        raise ValueError(f"LPIPS needs images of {SMALLEST} pixels or more, but got {tuple(real.images.shape[-2:])}")
    network = load_lpips(weights, backbone)

    def distance(first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        value: Tensor = network(2 * first - 1, 2 * second - 1)
        return value.flatten()

    scores = paired_scores(real, generated, distance, batch_size=batch_size)
    return mean_of_scores(
        f"lpips_{backbone}",
        scores,
        real,
        generated,
        direction="lower",
        note="LPIPS v0.1, images in [-1, 1]",
        extractor=backbone,
        level=level,
        seed=seed,
    )


FILES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth", "squeeze": "squeezenet1_1-b8a52dc0.pth"}
DIGESTS = {backbone: file.removesuffix(".pth")[-8:] for backbone, file in FILES.items()}  # torchvision names them so


def load_lpips(weights: Path | None, backbone: Backbone) -> nn.Module:
    """Return LPIPS on a local backbone, checked by the digest that torchvision publishes in the file's name."""
    if backbone not in FILES:
        raise ValueError(f"backbone must be one of {', '.join(FILES)}, but got {backbone=}")
    if weights is None or not weights.is_file():
        raise ValueError(
            f"LPIPS needs a local copy of torchvision's {FILES[backbone]} (download.pytorch.org/models); "
            f"name it in evaluation.lpips_weights, but got {weights=}"
        )
    return _join(weights, backbone, check_digest(weights, DIGESTS[backbone]))


@cache
def _join(weights: Path, backbone: Backbone, digest: str) -> nn.Module:
    """Join the wheel's linear heads with a backbone read from a local file, tensors only."""
    check_digest(weights, digest)
    state = read_tensors(weights)
    import lpips as package  # its linear heads are in the wheel, its backbone is not

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it draws a backbone, only to be replaced
        warnings.filterwarnings("ignore", message=".*parameter 'pretrained'|.*weight enum", category=UserWarning)
        network: nn.Module = package.LPIPS(net=backbone, pnet_rand=True, verbose=False)
    trunk = network.get_submodule("net")
    named = {key: _find(state, key, value, FILES[backbone]) for key, value in trunk.state_dict().items()}
    trunk.load_state_dict(named, strict=True)
    return network.eval().requires_grad_(False)


def paired_scores(
    real: ImageSet,
    generated: ImageSet,
    distance: Callable[[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]], Float[Tensor, " b"]],
    *,
    batch_size: int,
) -> Float64[np.ndarray, " n"]:
    """Score each pair in batches, without gradient."""
    pairs = zip(torch.split(real.images, batch_size), torch.split(generated.images, batch_size), strict=True)
    with torch.inference_mode():
        scores = [distance(repeat_to_rgb(a.float()), repeat_to_rgb(b.float())).double().cpu() for a, b in pairs]
    return np.asarray(torch.cat(scores).numpy())


def _check_inputs(real: ImageSet, generated: ImageSet, batch_size: int) -> None:
    """Refuse what cannot be compared before a network is loaded."""
    check_paired(real, generated)
    repeat_to_rgb(real.images)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, but got {batch_size=}")


def _taps(network: nn.Module, images: Float[Tensor, "b 3 224 224"]) -> Iterator[Float[Tensor, "b c h w"]]:
    """Yield the activations after each of the seven stages."""
    x = network.get_submodule("bn1")(network.get_submodule("conv_stem")(images))
    for stage in network.get_submodule("blocks").children():
        x = stage(x)
        yield x


def _apart(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Return the mean over pixels of the squared distance between unit channel vectors."""
    first, second = nn.functional.normalize(first, dim=1), nn.functional.normalize(second, dim=1)
    return (first - second).square().sum(1).mean((1, 2))


def _find(state: dict[str, Tensor], key: str, like: Tensor, file: str) -> Tensor:
    """Look up `slice2.3.weight` of the lpips trunk as `features.3.weight` of torchvision."""
    name = "features." + key.split(".", 1)[1]
    if name not in state:
        raise ValueError(f"the LPIPS weights must be torchvision's {file}, but {name!r} is not in the file")
    if state[name].shape != like.shape:
        shapes = tuple(like.shape), tuple(state[name].shape)
        raise ValueError(f"{name!r} of torchvision's {file} must have shape {shapes[0]}, but has {shapes[1]}")
    return state[name]
