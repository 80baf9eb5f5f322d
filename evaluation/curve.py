"""How far the Frechet distance still falls with the number of images: its value on nested parts of both sets."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from evaluation.frechet import frechet_value
from evaluation.types import FeatureSet, check_pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALVINGS = 4
REPEATS = 5
Pair = tuple[FeatureSet, FeatureSet]


@dataclass(frozen=True)
class CurvePoint:
    """The distance when each side gives about n images.

    Args:
        n: images asked of each side; a side that has fewer gives all.
        real: images given by the real side, averaged over the drawings: whole patients seldom sum to n.
        generated: images given by the other side.
        mean: of the distance over the drawings.
        low: smallest distance of a drawing; how parts of one set differ, not an interval.
        high: largest distance of a drawing.
        repeats: drawings; 1 where both sides give all.
    """

    n: int
    real: float
    generated: float
    mean: float
    low: float
    high: float
    repeats: int


@dataclass(frozen=True)
class DistanceCurve:
    """Plug-in Frechet distance against n, the smallest n first, and the same of real against other real patients."""

    extractor: str
    width: int
    points: tuple[CurvePoint, ...]
    floor: tuple[CurvePoint, ...] = ()

    @property
    def last_fall(self) -> float | None:
        """Return by which share the last step lowered the distance; None where there is no step."""
        if len(self.points) < 2 or self.points[-2].mean <= 0:
            return None
        return 1 - self.points[-1].mean / self.points[-2].mean

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that JSON can hold."""
        return asdict(self)

    @staticmethod
    def from_json(mapping: Mapping[str, Any]) -> "DistanceCurve":
        """Rebuild what `to_json` wrote."""
        lines = {name: tuple(CurvePoint(**point) for point in mapping[name]) for name in ("points", "floor")}
        return DistanceCurve(mapping["extractor"], mapping["width"], **lines)


def distance_curve(
    real: FeatureSet,
    generated: FeatureSet,
    *,
    floor: Pair | None = None,
    sizes: Sequence[int] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> DistanceCurve:
    """Measure the distance on nested random parts of both sets; the last point is the distance of the whole sets.

    The plug-in is biased up, the more so the fewer the images (its square-root term is concave), so the
    curve falls on average; where it still falls at its end, so does the reported value.

    Args:
        real: features of real images.
        generated: features of generated images, by the same extractor.
        floor: real patients and other real patients, drawn at the same n as far as they reach.
        sizes: images per side; by default the larger side's number, halved while a part holds some patients.
        repeats: random orders of the patients; every order gives one nested row of parts.
        seed: of the orders.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, but got {repeats=}")
    chosen = _halvings(real, generated) if sizes is None else sizes
    if not chosen or min(chosen) < 2:
        raise ValueError(f"sizes must be 2 images or more, but got {list(chosen)}")
    pairs = [pair for pair in ((real, generated), floor) if pair]
    fewest = min(len(side) for pair in pairs for side in pair)
    if fewest < 2:
        raise ValueError(f"a Frechet distance needs 2 rows on each side, but the smallest has {fewest}")
    lines = [_line(pair, chosen, repeats, seed) for pair in pairs]
    return DistanceCurve(real.extractor, real.width, lines[0], lines[1] if floor else ())


def draw_curve(curve: DistanceCurve, path: Path, *, title: str = "") -> Path:
    """Draw the distance against n, the floor below it, and write a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    _draw_line(axes, curve.points, "generated against real", "#1f5f99")
    _draw_line(axes, curve.floor, "real against other real patients", "#777777")
    axes.set_xscale("log", base=2)
    ticks = sorted({point.n for point in (*curve.points, *curve.floor)})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("images per side, n")
    axes.set_ylabel("Fréchet distance at n")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=160)
    return path


def _line(pair: Pair, sizes: Sequence[int], repeats: int, seed: int) -> tuple[CurvePoint, ...]:
    check_pair(*pair)
    most = max(len(side) for side in pair)
    orders = [(_order(pair[0], [seed, each, 0]), _order(pair[1], [seed, each, 1])) for each in range(repeats)]
    reached = [*sorted({size for size in sizes if size < most}), *([most] if max(sizes) >= most else [])]
    return tuple(_point(pair, orders, n) for n in reached)


def _point(pair: Pair, orders: Sequence[tuple["_Order", "_Order"]], n: int) -> CurvePoint:
    whole = all(n >= len(side) for side in pair)
    parts = [tuple(order.first(n) for order in both) for both in orders[: 1 if whole else None]]
    values = [frechet_value(pair[0].rows[a], pair[1].rows[b]) for a, b in parts]
    counts = np.mean([[len(a), len(b)] for a, b in parts], axis=0)
    return CurvePoint(
        n, float(counts[0]), float(counts[1]), float(np.mean(values)), min(values), max(values), len(values)
    )


@dataclass(frozen=True, eq=False)
class _Order:
    """The rows of one side with its patients in random order, and where each patient's rows end."""

    rows: Int64[np.ndarray, " n"]
    ends: Int64[np.ndarray, " g"]

    def first(self, n: int) -> Int64[np.ndarray, " m"]:
        """Return the rows of the first patients, together at most n, but of two patients at least."""
        patients = max(2, int(np.searchsorted(self.ends, n, side="right")))
        return self.rows[: self.ends[min(patients, len(self.ends)) - 1]]


def _order(side: FeatureSet, seed: list[int]) -> _Order:
    _, index = np.unique(side.groups, return_inverse=True)
    place = np.random.default_rng(seed).permutation(side.patients)[index]
    return _Order(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place)))


def _halvings(real: FeatureSet, generated: FeatureSet) -> list[int]:
    """Return the larger side's number and its halves, down to twice the rows of the largest patient."""
    most = max(len(real), len(generated))
    least = max(2 * int(np.unique(side.groups, return_counts=True)[1].max()) for side in (real, generated))
    halves = [most >> times for times in range(HALVINGS + 1)]
    return [most, *(half for half in halves[1:] if half >= least)]


def _draw_line(axes: "Axes", points: Sequence[CurvePoint], label: str, color: str) -> None:
    if not points:
        return
    n = [point.n for point in points]
    axes.fill_between(n, [p.low for p in points], [p.high for p in points], color=color, alpha=0.15, linewidth=0)
    axes.plot(n, [point.mean for point in points], marker="o", markersize=4, color=color, label=label)
