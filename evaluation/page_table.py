"""The table of metrics as HTML: value, interval as a drawn bar, n, extractor; how each was made stands below it."""

import html
import math
from collections.abc import Mapping

from evaluation.metric import METRICS
from evaluation.page_words import GROUPS, OTHER_SIDES, metric_kind, metric_title, split_interval
from evaluation.report import ARROWS
from evaluation.types import MetricResult

WIDTH, HEIGHT, MARGIN = 180, 16, 5
ALONE = (
    ("images", "patients"),
    ("slices", "patients"),
    ("real_slices", "real_patients"),
    ("generated_slices", "generated_patients"),
)
Results = Mapping[str, MetricResult]


def escape(text: object) -> str:
    """Return text that HTML shows as it is; what is no valid text becomes a question mark."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"), quote=True)


def metrics_table(results: Results) -> str:
    """Return the table, a body for each group of metrics, and the numbered notes."""
    notes = _number_notes(results)
    groups: dict[str, list[str]] = {}
    for key, result in results.items():
        group = key.partition("/")[0]
        groups.setdefault(group, []).append(_row(group, result, results, notes))
    head = "".join(f'<th scope="col"{kind}>{words}</th>' for words, kind in _HEADER)
    bodies = "\n".join(_body(group, rows) for group, rows in groups.items())
    items = "\n".join(f'<li id="note-{number}">{escape(note)}</li>' for note, number in notes.items())
    return (
        f'<table class="metrics">\n<thead><tr>{head}</tr></thead>\n{bodies}\n</table>\n'
        f'<ol class="notes">\n{items}\n</ol>'
    )


_HEADER = (
    *(("Metric", ""), ("Value", ' class="number"'), ("Interval", ' class="number"')),
    *(("Drawn", ' class="bar"'), ("n", ""), ("Features", ""), ("Note", "")),
)


def _body(group: str, rows: list[str]) -> str:
    title = escape(GROUPS.get(group, group))
    return (
        f'<tbody>\n<tr class="group"><th colspan="7" scope="rowgroup">{title}</th></tr>\n'
        + "\n".join(rows)
        + "</tbody>"
    )


def _row(group: str, result: MetricResult, results: Results, notes: Mapping[str, int]) -> str:
    point, limits = split_interval(result)
    number = notes[_note(result)]
    arrow = (
        f'&nbsp;<abbr title="{result.direction} is better">{ARROWS[result.direction]}</abbr>'
        if result.direction
        else ""
    )
    return (
        f'<tr><th scope="row">{escape(metric_title(result))}{arrow}<code>{escape(result.name)}</code></th>'
        f'<td class="number point">{escape(point)}</td><td class="number limits">{escape(limits)}</td>'
        f'<td class="bar">{_bar(result, _scale(result, results))}</td>'
        f'<td class="n">{_counts(group, result)}</td><td class="features">{escape(result.extractor or "pixels")}</td>'
        f'<td class="note"><a href="#note-{number}">{number}</a></td></tr>'
    )


def _counts(group: str, result: MetricResult) -> str:
    """Return the counts in words; an image that is its own group needs no second number."""
    n, sides = dict(result.n), []
    other = OTHER_SIDES.get(group, "generated") if metric_kind(result) in METRICS else "generated"
    for side, groups in (("real", "real_patients"), ("generated", "generated_groups")):
        images, patients = n.pop(side, None), n.pop(groups, None)
        if images is not None:
            of = "" if patients in (None, images) else f" of {patients} patients"
            sides.append(f"{images} {other if side == 'generated' else side}{of}")
    for total, groups in ALONE:
        if total in n and n[total] == n.get(groups):
            del n[groups]
    sides += [f"{count} {name.replace('_', ' ')}" for name, count in n.items()]
    return " ".join(f"<span>{escape(side)}</span>" for side in sides)


def _number_notes(results: Results) -> dict[str, int]:
    notes: dict[str, int] = {}
    for result in results.values():
        notes.setdefault(_note(result), len(notes) + 1)
    return notes


def _note(result: MetricResult) -> str:
    note = f" {result.note[:1].upper()}{result.note[1:]}." if result.note else ""
    words = f"{100 * result.level:g} % interval: {result.interval}.{note}"
    return words.replace("-+", "±").replace(" t x ", " t \u00d7 ")


def _scale(result: MetricResult, results: Results) -> tuple[float, float]:
    """Return the ends of a metric's axis, shared by all groups; it holds 0, and 1 where 1 is the best value."""
    values = [0.0]
    known = METRICS.get(metric_kind(result))
    if known and known.bounds[1] == 1:
        values.append(1.0)
    for other in results.values():
        if other.name == result.name:
            values += [each for each in (other.point, other.low, other.high) if each is not None]
    finite = [value for value in values if math.isfinite(value)]
    return min(finite), max(finite) if max(finite) > min(finite) else min(finite) + 1


def _bar(result: MetricResult, scale: tuple[float, float]) -> str:
    """Return a drawing: the axis, a tick at 0, the interval as a band, the value as a dot."""
    low, high = scale
    if not math.isfinite(result.point):
        return ""

    def place(value: float) -> float:
        return round(MARGIN + (value - low) / (high - low) * (WIDTH - 2 * MARGIN), 1)

    middle, band = HEIGHT / 2, ""
    if result.low is not None and result.high is not None and math.isfinite(result.low + result.high):
        start, reach = place(result.low), max(1.0, round(place(result.high) - place(result.low), 1))
        band = f'<rect class="band" x="{start}" y="{middle - 3}" width="{reach}" height="6" rx="2"/>'
    words = escape(f"{result.name} {' '.join(split_interval(result))}, drawn from {low:.4g} to {high:.4g}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{words}">'
        f'<path class="axis" d="M{MARGIN} {middle}H{WIDTH - MARGIN}M{place(0.0)} 3V{HEIGHT - 3}"/>'
        f'{band}<circle class="dot" cx="{place(result.point)}" cy="{middle}" r="2.6"/></svg>'
    )
