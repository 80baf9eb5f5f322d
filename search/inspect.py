"""What a person looks at: descriptions of data, contact sheets, sample grids, tables in four formats."""

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evaluation import (
    MetricResult,
    Table,
    draw_grid,
    format_interval,
    stand_alone,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from sbldm.data import SliceSet, contact_sheet
from sbldm.errors import ConfigError
from sbldm.files import atomic_write
from search.events import ExperimentResult
from search.open_study import OpenStudy
from search.outside import OutsideResult
from search.sampling import Samples
from search.space import write_range
from search.studies import OPEN_STUDIES, STUDIES
from search.study import Study, label_part
from search.tracking import RunRecord

FORMATS: dict[str, Callable[[Table], str]] = {"md": to_markdown, "latex": to_latex, "csv": to_csv, "html": to_html}

BENCHMARK = "benchmark/"
ENDS = ("_low", "_high")
ZOOM = 2
MOST_NAMED = 6  # settings of a study in the list of all


class Findings(Protocol):
    """What can be said in sentences, and proven by a table."""

    def sentences(self) -> tuple[str, ...]:
        """Return what is found."""
        ...

    def table(self) -> Table:
        """Return the numbers behind it."""
        ...


def find_format(form: str) -> Callable[[Table], str]:
    """Return what writes a table in one of the formats that ``FORMATS`` names."""
    if form not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, but got {form!r}")
    return FORMATS[form]


def describe(summary: Mapping[str, Any]) -> str:
    """Return a summary of prepared data as lines to read."""
    lines = [
        f"slices of {summary['size']}x{summary['size']} in [-1, 1];"
        f" labels: {', '.join(summary['label_names']) or 'none'}"
    ]
    for part, counts in summary["parts"].items():
        pixels = ", ".join(f"{name} {count} px" for name, count in counts["label_pixels"].items())
        lines.append(f"{part:10} {counts['patients']:4} patients {counts['slices']:6} slices  {pixels}".rstrip())
    lines.append(f"data {summary['digest']}, split {summary['split_digest']}")
    return "\n".join(lines)


def describe_result(
    run_id: str,
    result: ExperimentResult,
    page: Path | None,
    *,
    as_json: bool,
    tracked: Mapping[str, float] | None = None,
) -> str:
    """Return every number with its interval, and where the files lie: for people, or as one JSON document.

    What ``sbldm benchmark`` has found of the run stands among its tracked metrics, and is told too.
    """
    gains = {name: value for name, value in (tracked or {}).items() if name.startswith(BENCHMARK)}
    report = page or next(iter(result.files.get("report", ())), None)
    if as_json:
        numbers = {"results": _to_json(result.results), "numbers": result.numbers | gains}
        return json.dumps({"run_id": run_id, **numbers, "report": report and str(report)}, indent=2)
    files = {"report": report} if report else {}
    lines = [f"  {name}: {path}" for name, path in (result.pictures | files).items()]
    return "\n".join([f"run {run_id}", *_lines(result.results), *_gain_lines(gains), *lines])


def describe_outside(result: OutsideResult, page: Path, *, as_json: bool) -> str:
    """Return every number of images that another generator left, and where the report lies."""
    if as_json:
        return json.dumps({"results": _to_json(result.results), "report": str(page)}, indent=2)
    return "\n".join([*_lines(result.results), f"  report: {page}"])


def describe_findings(found: Findings, form: str) -> str:
    """Return the sentences that a reviewer wants above the table that proves them."""
    return "\n".join(found.sentences()) + "\n\n" + find_format(form)(found.table())


def keep_report(page: Path, target: Path) -> Path:
    """Copy a report out of the cache."""
    atomic_write(target, page.read_bytes())
    return target


def _lines(results: Mapping[str, MetricResult]) -> list[str]:
    return [f"  {name:36} {format_interval(each)}" for name, each in results.items()]


def _gain_lines(gains: Mapping[str, float]) -> list[str]:
    lines = []
    for name, value in gains.items():
        if name.endswith(ENDS):
            continue
        limits = [f"{gains[name + end]:+.3f}" for end in ENDS if name + end in gains]
        lines.append(f"  {name:36} {value:+.3f}" + (f" [{', '.join(limits)}]" if limits else ""))
    return lines


def _to_json(results: Mapping[str, MetricResult]) -> dict[str, Any]:
    return {name: each.to_json() for name, each in results.items()}


def describe_studies(*, as_json: bool) -> str:
    """Return every study with its question and its settings or ranges."""
    if as_json:
        grids = {
            name: {"question": study.question, "cells": [cell.label for cell in study.cells()]}
            for name, study in STUDIES.items()
        }
        searches = {
            name: {"question": study.question, "ranges": study.to_json()["ranges"]}
            for name, study in OPEN_STUDIES.items()
        }
        return json.dumps(grids | searches)
    lines = []
    for study in STUDIES.values():
        labels = [cell.label for cell in study.cells()]
        more = f", and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
        lines += _study_lines(study, f"{len(labels)} settings: {', '.join(labels[:MOST_NAMED])}{more}")
    for searched in OPEN_STUDIES.values():
        drawn = f"{searched.trials} draws by {searched.sampler} from {', '.join(describe_ranges(searched))}"
        lines += _study_lines(searched, drawn)
    return "\n".join(lines)


def describe_ranges(study: OpenStudy) -> list[str]:
    """Return each range in words, such as ``schedule.gamma in log [0.5, 2]``."""
    written = {path: next(iter(write_range(each).items())) for path, each in study.ranges.items()}
    return [f"{path} in {kind} [{', '.join(map(label_part, values))}]" for path, (kind, values) in written.items()]


def _study_lines(study: Study | OpenStudy, settings: str) -> list[str]:
    return [
        f"{study.name}: {study.question}",
        f"    {settings}",
        f"    {study.run_time} at the quick preset on two CPU cores",
    ]


def describe_runs(runs: Sequence[RunRecord], *, as_json: bool) -> str:
    """Return one line per run, oldest first, with its Frechet distance."""
    rows = [
        {
            "run_id": run.run_id,
            "kind": run.tags.get("sbldm.kind"),
            "status": run.status,
            "name": run.name,
            "fd": next((value for key, value in run.metrics.items() if key.startswith("eval/fd_")), None),
        }
        for run in runs
    ]
    if as_json:
        return json.dumps(rows)
    return "\n".join("\t".join("" if cell is None else str(cell) for cell in row.values()) for row in rows)


def save_contact_sheet(slices: SliceSet, path: Path) -> None:
    """Save some slices, and below them the same with their labels in color."""
    from PIL import Image

    pixels = (contact_sheet(slices).movedim(0, -1).expand(-1, -1, 3) * 255).round().byte().numpy()
    content = io.BytesIO()
    Image.fromarray(pixels.repeat(ZOOM, 0).repeat(ZOOM, 1)).save(content, format="PNG")
    atomic_write(path, content.getvalue())


def save_samples(samples: Samples, folder: Path) -> tuple[Path, Path]:
    """Save a grid and the npz of generated slices, and return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    grid, arrays = folder / "samples.png", folder / "samples.npz"
    draw_grid(stand_alone(samples.images[:64]), grid, title="Generated slices")
    shutil.copyfile(samples.path, arrays)
    return grid, arrays
