"""Volumes cut along all three directions: across the slices, incoherence shows as stripes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

CUTS = ("a slice", "across slices, along columns", "across slices, along rows")


@dataclass(frozen=True, eq=False)
class View:
    """One volume to be shown.

    Attributes:
        title: what it is.
        image: in [0, 1], first slice to last.
        labels: 0 background, 1.. classes.
        spacing_mm: between slices, between rows, between columns.
    """

    title: str
    image: Float[Tensor, "z h w"]
    labels: UInt8[Tensor, "z h w"]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Cut:
    """A plane of a volume; the last slice is on top where it crosses them.

    Attributes:
        pixels: as they are to be drawn.
        aspect: height of a pixel over its width.
    """

    pixels: Shaped[Tensor, "i j"]
    aspect: float


def middle_cuts(volume: Shaped[Tensor, "z h w"], spacing_mm: tuple[float, float, float]) -> tuple[Cut, Cut, Cut]:
    """Return the middle slice, then the planes through the middle row and the middle column of all slices."""
    slices, rows, columns = (length // 2 for length in volume.shape)
    slice_mm, row_mm, column_mm = spacing_mm
    return (
        Cut(volume[slices], row_mm / column_mm),
        Cut(volume[:, rows].flip(0), slice_mm / column_mm),
        Cut(volume[:, :, columns].flip(0), slice_mm / row_mm),
    )


def draw_volumes(views: Sequence[View], path: Path, *, title: str = "", names: tuple[str, str, str] = CUTS) -> Path:
    """Draw each volume's three middle planes, gray from 0 to 1, and beside them their labels, and write a PNG.

    Args:
        views: one row of the picture each.
        path: of the PNG.
        title: above all.
        names: what the three planes are called.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not views:
        raise ValueError("a picture of volumes needs a volume, but got none")
    classes = max(1, *(int(view.labels.max()) for view in views))
    figure = Figure(figsize=(12, 2.3 * len(views) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for view, row in zip(views, figure.subfigures(len(views), 1, squeeze=False)[:, 0], strict=True):
        row.suptitle(view.title, fontsize=10)
        images, labels = middle_cuts(view.image, view.spacing_mm), middle_cuts(view.labels, view.spacing_mm)
        scales = [{"cmap": "gray", "vmin": 0, "vmax": 1}] * 3 + [{"cmap": "viridis", "vmin": 0, "vmax": classes}] * 3
        panels = zip(row.subplots(1, 6), (*images, *labels), scales, (*names, *["labels"] * 3), strict=True)
        for axes, cut, scale, name in panels:
            axes.imshow(cut.pixels.cpu().numpy(), aspect=cut.aspect, interpolation="nearest", **scale)
            axes.set_title(name, fontsize=8)
            axes.set_axis_off()
    figure.savefig(path, format="png", dpi=100)
    return path
