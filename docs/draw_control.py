"""Draw what slices show of the lesion areas they were told, from two npz files that ``sbldm sample`` wrote.

Command: ``python docs/draw_control.py PLAIN.npz GUIDED.npz docs/control.png``; seconds.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANGES = (0, 45), (45, 135), (135, 300), (300, 2000)  # mm^2; 9 mm^2 a pixel
COLUMNS = 6
LESION, PIXEL_MM2 = 4, 9.0
SIDES = ("guidance 0", "#777777"), ("guidance 2", "#1f5f99")
Arrays = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plain", type=Path)
    parser.add_argument("guided", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    plain, guided = (read(path) for path in (arguments.plain, arguments.guided))
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.7])
    _draw_areas(left.subplots(), (plain, guided))
    for row, (low, high) in zip(right.subplots(len(RANGES) - 1, COLUMNS), RANGES[1:], strict=True):
        for axes, place in zip(row, _inside(guided, low, high).nonzero()[0][:COLUMNS], strict=True):
            _show(axes, guided, int(place))
        row[0].set_ylabel(f"told {low} to {high} mm²", fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(arguments.picture, format="png", dpi=100)


def read(path: Path) -> Arrays:
    """Return images, lesions, and the areas that were told and are shown."""
    with np.load(path, allow_pickle=False) as arrays:
        told = arrays["conditions"][:, arrays["condition_names"].tolist().index("area")]
        lesion = arrays["labels"] == LESION
        return {"images": arrays["images"], "lesion": lesion, "told": told, "shown": lesion.sum((1, 2)) * PIXEL_MM2}


def _inside(side: Arrays, low: float, high: float) -> Any:
    return (side["told"] > low) & (side["told"] <= high)


def _draw_areas(axes: "Axes", sides: tuple[Arrays, Arrays]) -> None:
    for side, (name, color) in zip(sides, SIDES, strict=True):
        some = [_inside(side, low, high) for low, high in RANGES]
        axes.scatter(side["told"], side["shown"], s=8, color=color, alpha=0.4, linewidths=0)
        means = [[float(side[key][each].mean()) for each in some] for key in ("told", "shown")]
        axes.plot(means[0], means[1], marker="o", color=color, label=f"{name}, means")
    axes.axline((0, 0), slope=1, color="#bbbbbb", linestyle="--", linewidth=0.8, zorder=0)
    axes.set_xlabel("lesion area told, mm²")
    axes.set_ylabel("lesion area on the label map, mm²")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def _show(axes: "Axes", side: Arrays, place: int) -> None:
    axes.imshow(side["images"][place, 0], cmap="gray", vmin=0, vmax=1)
    if side["lesion"][place].any():
        axes.contour(side["lesion"][place], levels=[0.5], colors=["#D55E00"], linewidths=1)
    axes.set_title(f"{side['told'][place]:.0f} → {side['shown'][place]:.0f}", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


if __name__ == "__main__":
    main()
