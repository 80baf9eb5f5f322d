"""Studies as a picture: a dot with its interval per setting, a line at the baseline, one panel per metric."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation import MetricResult
from evaluation.report import point_out
from evaluation.verdict import find
from sbldm.files import atomic_write
from search.ablation_table import AblationTable, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito 2008: told apart by readers of any color vision; the shapes also survive a gray printer
LOOKS = {
    "baseline": {"color": "#000000", "marker": "D"},
    "better": {"color": "#009E73", "marker": "^"},
    "worse": {"color": "#D55E00", "marker": "v"},
    "not distinguishable": {"color": "#0072B2", "marker": "o"},
}
Line = tuple[int, AblationTable, Row]
"""The place of its study, the study, the setting."""


def draw_intervals(ablations: Sequence[AblationTable], path: Path) -> tuple[Path, Path]:
    """Draw one or more studies, and return a PNG and an SVG of the path's name.

    The look of a dot says what its difference to the baseline is in the study's first metric, as the table does. The
    intervals are of each setting alone: where two overlap, the difference may yet be found, for it is paired.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    lines = _list_lines(ablations)
    if not lines:
        raise ValueError(f"a picture needs one setting or more, but got {len(lines)}")
    metrics = {name: result for each in ablations for name, result in each.metrics.items()}
    height = 1.5 + 0.32 * (len(lines) + len(ablations))
    figure = Figure(figsize=(3.0 + 2.6 * len(metrics), height), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for panel, (name, result) in zip(panels, metrics.items(), strict=True):
        _draw_panel(panel, lines, name)
        panel.set_title(point_out(name, result.direction), fontsize=9)
    _name_rows(panels[0], lines)
    used = {_look(row, ablation): None for _, ablation, row in lines}
    lead = next(iter(metrics))
    names = {look: look if look == "baseline" else f"{look} by {lead}" for look in LOOKS if look in used}
    keys = [panels[0].plot([], [], linestyle="", label=name, **LOOKS[look])[0] for look, name in names.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False, fontsize=8)
    paths = path.with_suffix(".png"), path.with_suffix(".svg")
    for each in paths:
        content = io.BytesIO()
        # a fixed salt and no date: the same table gives the same bytes; text stays text
        with rc_context({"svg.hashsalt": "sbldm", "svg.fonttype": "none"}):
            kind = each.suffix[1:]
            figure.savefig(content, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
        atomic_write(each, content.getvalue())
    return paths


def _list_lines(ablations: Sequence[AblationTable]) -> list[Line]:
    return [(place, ablation, row) for place, ablation in enumerate(ablations) for row in ablation.rows]


def _draw_panel(panel: "Axes", lines: Sequence[Line], name: str) -> None:
    for at, (place, ablation, row) in enumerate(lines):
        if name not in row.results:
            continue
        _draw_dot(panel, at + place, row.results[name], LOOKS[_look(row, ablation)])
        if row.label == ablation.baseline:
            heights = [each + other for each, (other, *_) in enumerate(lines) if other == place]
            ends = min(heights) - 0.5, max(heights) + 0.5
            panel.vlines(row.results[name].point, *ends, color="gray", linewidth=0.8, linestyle="--")
    panel.grid(axis="x", alpha=0.25)
    panel.tick_params(labelsize=8)
    panel.locator_params(axis="x", nbins=5)


def _draw_dot(panel: "Axes", height: float, result: MetricResult, look: dict[str, Any]) -> None:
    if result.low is not None and result.high is not None:
        panel.hlines(height, result.low, result.high, color=look["color"], linewidth=1.6)
    panel.plot([result.point], [height], markersize=5, linestyle="", **look)


def _name_rows(panel: "Axes", lines: Sequence[Line]) -> None:
    """Write each setting beside its row; where studies are several, each has its name on a free row above."""
    heights, names, several = [], [], lines[-1][0] > 0
    for at, (place, ablation, row) in enumerate(lines):
        if several and row is ablation.rows[0]:
            heights.append(at + place - 1)
            names.append(f"{ablation.study}:")
        heights.append(at + place)
        names.append(row.label)
    panel.set_yticks(heights, names, fontsize=8)
    panel.set_ylim(max(heights) + 0.7, min(heights) - 0.7)  # first setting on top


def _look(row: Row, ablation: AblationTable) -> str:
    if row.label == ablation.baseline:
        return "baseline"
    finding = find(row.difference) if row.difference else ""
    return finding if finding in ("better", "worse") else "not distinguishable"
