"""What a person looks at: descriptions of data, contact sheets, sample grids, tables in four formats."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evaluation import ImageSet, Table, draw_grid, stand_alone, to_csv, to_html, to_latex, to_markdown
from sbldm.data import SliceSet, contact_sheet
from sbldm.errors import ConfigError
from search.sampling import Samples

FORMATS: dict[str, Callable[[Table], str]] = {"md": to_markdown, "latex": to_latex, "csv": to_csv, "html": to_html}


def render(table: Table, form: str) -> str:
    """Return a table in one of the formats that ``FORMATS`` names."""
    if form not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, but got {form!r}")
    return FORMATS[form](table)


def describe(summary: Mapping[str, Any]) -> str:
    """Return a summary of prepared data as lines to read."""
    lines = [
        f"slices of {summary['size']}x{summary['size']} in [-1, 1]; labels: {', '.join(summary['label_names']) or 'none'}"
    ]
    for part, counts in summary["parts"].items():
        pixels = ", ".join(f"{name} {count} px" for name, count in counts["label_pixels"].items())
        lines.append(f"{part:10} {counts['patients']:4} patients {counts['slices']:6} slices  {pixels}".rstrip())
    lines.append(f"data {summary['digest']}, split {summary['split_digest']}")
    return "\n".join(lines)


def save_contact_sheet(slices: SliceSet, path: Path) -> None:
    """Save some slices, and below them the same with their labels in color."""
    sheet = contact_sheet(slices)
    draw_grid(ImageSet(sheet[None], stand_alone(sheet[None]).groups), path, columns=1)


def save_samples(samples: Samples, folder: Path) -> tuple[Path, Path]:
    """Save a grid and the npz of generated slices, and return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    grid, arrays = folder / "samples.png", folder / "samples.npz"
    draw_grid(stand_alone(samples.images[:64]), grid, title="Generated slices")
    shutil.copyfile(samples.path, arrays)
    return grid, arrays
