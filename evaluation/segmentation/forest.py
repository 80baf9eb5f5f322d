"""A forest plot: gains over a baseline with their intervals, fraction by fraction."""

import io
from collections.abc import Sequence
from typing import Literal

from evaluation.segmentation.gains import LOWER_IS_BETTER, Gain

COLORS = {"better": "#009E73", "worse": "#D55E00", "no difference": "#666666"}  # Okabe & Ito 2008
ROW_INCHES = 0.34


def draw_forest(gains: Sequence[Gain], *, level: float, form: Literal["png", "svg"]) -> bytes:
    """Draw gains of one class, metric and baseline: a dot and an interval each, grouped by fraction.

    Args:
        gains: one or more.
        level: of the intervals.
        form: of the picture.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not gains:
        raise ValueError("a forest plot needs one gain or more, but got none")
    fractions = sorted({gain.fraction for gain in gains})
    rows = [each for fraction in fractions for each in (fraction, *(g for g in gains if g.fraction == fraction))]
    figure = Figure(figsize=(8, 1.2 + ROW_INCHES * len(rows)), layout="constrained")
    axes = figure.subplots()
    for height, row in enumerate(rows):
        if isinstance(row, Gain):
            color, limits = COLORS[row.verdict(level)], row.mean.interval(level)
            axes.plot(row.mean.point, height, "o", color=color, markersize=6)
            if limits:
                axes.plot(limits, (height, height), color=color, linewidth=2)
    axes.axvline(0, color="black", linewidth=0.8)
    labels = [f"  {row.arm}" if isinstance(row, Gain) else f"{row:.0%} of the patients" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("normal" if isinstance(row, Gain) else "bold")
    axes.invert_yaxis()
    first = gains[0]
    side = "left" if first.metric in LOWER_IS_BETTER else "right"
    axes.set_xlabel(
        f"{first.metric} of {first.label}, less that of {first.baseline} ({level:.0%} interval; {side} is better)"
    )
    axes.grid(axis="x", alpha=0.25)
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "sbldm"}):
        figure.savefig(picture, format=form, dpi=130, metadata={"Date": None} if form == "svg" else None)
    return picture.getvalue()
