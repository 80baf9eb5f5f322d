"""Where reconstructions err: per-pixel absolute error over all pairs, and the worst pairs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from evaluation.paired import check_paired
from evaluation.types import ImageSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL = "|error|, intensities span 1"
COLUMNS = 3  # below, the pairs leave places empty


@dataclass(frozen=True, eq=False)
class ErrorMap:
    """Absolute error per pixel, averaged over channels; intensities span 1.

    Args:
        mean: over the pairs.
        high: the 95th percentile over the pairs.
        worst: rows of the pairs with the largest mean error, worst first.
        triplets: of the worst pairs: real, generated, absolute error.
    """

    mean: Float[Tensor, "h w"]
    high: Float[Tensor, "h w"]
    worst: Int64[Tensor, " k"]
    triplets: Float[Tensor, "k 3 h w"]
    pairs: int


def error_map(real: ImageSet, generated: ImageSet, *, worst: int = 4) -> ErrorMap:
    """Gather the error of every pair; `worst` pairs are kept to look at, none where patients must not be shown."""
    check_paired(real, generated)
    if worst < 0:
        raise ValueError(f"worst must be at least 0, but got {worst=}")
    real_values, generated_values = real.images.float(), generated.images.float()  # half precision has no quantile
    first, second = real_values.mean(1), generated_values.mean(1)
    errors = (real_values - generated_values).abs().mean(1)
    order = errors.mean((1, 2)).argsort(descending=True, stable=True)[:worst]
    return ErrorMap(
        mean=errors.mean(0),
        high=torch.quantile(errors, 0.95, dim=0),
        worst=order,
        triplets=torch.stack([first[order], second[order], errors[order]], dim=1),
        pairs=len(errors),
    )


def draw_error_map(
    errors: ErrorMap, path: Path, *, title: str = "Absolute error", sides: tuple[str, str] = ("real", "generated")
) -> Path:
    """Draw both maps above the worst pairs, each with the color bar that it is read by, and write a PNG.

    Args:
        errors: what to draw.
        path: of the PNG.
        title: says whose error it is.
        sides: what the two images of a pair are called.
    """
    from matplotlib.figure import Figure

    shown = len(errors.worst)
    figure = Figure(figsize=(2.3 * max(COLUMNS, shown) + 1, 9.5 if shown else 3.4), layout="constrained")
    figure.suptitle(f"{title}: {float(errors.mean.mean()):.3f} on average of {errors.pairs} pairs")
    top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=[1, 2])) if shown else (figure, None)
    maps = {"mean": errors.mean, "95th percentile": errors.high}
    for axes, (name, values) in zip(top.subplots(1, 2), maps.items(), strict=True):
        picture = _show(axes, values, f"{name} over the pairs", _error_scale(values))
        top.colorbar(picture, ax=axes, label=LABEL)
    if bottom is not None:
        _draw_worst(bottom, errors, sides)
    return _write(figure, path)


def draw_grid(images: ImageSet, path: Path, *, columns: int = 8, title: str = "") -> Path:
    """Draw images side by side, row by row, gray from 0 to 1 or in color, and write a PNG."""
    from matplotlib.figure import Figure

    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.2 * columns, 1.2 * rows + 0.4 * bool(title)), layout="constrained")
    figure.suptitle(title)
    for cell, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if cell < len(images):
            picture = images.images[cell].cpu().permute(1, 2, 0)
            axes.imshow(
                picture.squeeze(-1) if picture.shape[-1] == 1 else picture[..., :3], cmap="gray", vmin=0, vmax=1
            )
    return _write(figure, path)


def _draw_worst(figure: Any, errors: ErrorMap, sides: tuple[str, str]) -> None:
    axes = figure.subplots(3, max(COLUMNS, len(errors.worst)), squeeze=False)
    for empty in axes[:, len(errors.worst) :].flat:
        empty.set_axis_off()
    gray = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0}
    scale = _error_scale(errors.triplets[:, 2])
    first, second = sides
    for column, (row, (real, generated, error)) in enumerate(zip(errors.worst, errors.triplets, strict=True)):
        gray_picture = _show(axes[0, column], real, f"pair {int(row)}: {first}", gray)
        _show(axes[1, column], generated, second, gray)
        picture = _show(axes[2, column], error, f"|error|, mean {float(error.mean()):.3f}", scale)
    figure.colorbar(gray_picture, ax=list(axes[:2, : len(errors.worst)].flat), label="intensity")
    figure.colorbar(picture, ax=list(axes[2, : len(errors.worst)]), label="|error|")


def _error_scale(errors: Float[Tensor, "..."]) -> dict[str, Any]:
    return {"cmap": "magma", "vmin": 0.0, "vmax": max(float(errors.max()), 1e-6)}


def _show(axes: "Axes", values: Float[Tensor, "h w"], title: str, scale: dict[str, Any]) -> Any:
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    return axes.imshow(values.cpu().numpy(), **scale)


def _write(figure: "Figure", path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=100)
    return path
