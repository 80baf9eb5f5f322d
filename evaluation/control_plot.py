"""Requested against realized numbers as a picture: every slice a dot, means of equally many, and the diagonal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Float64[np.ndarray, " _"]
COLORS = "#1f5f99", "#777777", "#D55E00"
BINS = 6


@dataclass(frozen=True, eq=False)
class Panel:
    """One number: its name, its unit, and of each side the requested and the realized values."""

    name: str
    unit: str
    sides: Mapping[str, tuple[Numbers, Numbers]]


def draw_control(panels: tuple[Panel, ...], path: Path) -> Path:
    """Save one panel per number as a PNG; the first side is drawn with its dots, all with their means."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(panels), 3.6), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=110)
    return path


def bin_means(requested: Numbers, realized: Numbers, bins: int = BINS) -> tuple[Numbers, Numbers]:
    """Return both means of parts that hold about as many slices each; equal requests stay together.

    >>> bin_means(np.array([0.0, 0.0, 1.0, 3.0]), np.array([0.0, 2.0, 1.0, 5.0]), bins=2)
    (array([0., 2.]), array([1., 3.]))
    """
    edges = np.unique(np.quantile(requested, np.linspace(0, 1, bins + 1)[1:-1]))
    part = np.unique(np.searchsorted(edges, requested, side="left"), return_inverse=True)[1]
    counts = np.bincount(part)
    return np.bincount(part, requested) / counts, np.bincount(part, realized) / counts


def _draw(axes: "Axes", panel: Panel) -> None:
    for place, ((side, (asked, found)), color) in enumerate(zip(panel.sides.items(), COLORS, strict=False)):
        if place == 0:
            axes.scatter(asked, found, s=8, color=color, alpha=0.35, linewidths=0)
        if len(asked):
            axes.plot(*bin_means(asked, found), marker="o", markersize=4, linewidth=1.2, color=color, label=side)
    axes.axline((0, 0), slope=1, color="#bbbbbb", linestyle="--", linewidth=0.8, zorder=0)
    axes.set_title(panel.name, loc="left", fontsize=10)
    axes.set_xlabel(f"requested, {panel.unit}")
    axes.set_ylabel(f"measured on the label map, {panel.unit}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
