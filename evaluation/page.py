"""One HTML page of an evaluation that needs nothing else: no network, no script, pictures inside."""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from evaluation.curve import DistanceCurve
from evaluation.page_table import escape, metrics_table
from evaluation.page_words import verdict, warnings
from evaluation.types import MetricResult

PNG = b"\x89PNG\r\n\x1a\n"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
ON_CURVE = "curve"


@dataclass(frozen=True)
class Picture:
    """A PNG file, and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True, eq=False)
class Report:
    """Everything a page says; it names no patient and no folder unless its maker wrote one in.

    Args:
        title: heading of the page.
        results: every metric under its group, such as ``eval/fd_lite0``.
        pictures: in the order shown; the one named ``curve`` stands beside the numbers of the curve.
        curve: the distance against n.
        facts: versions, digests, how values were scaled: a name and a word or two.
        settings: that decide the numbers, as JSON can hold them.
        command: what makes these numbers again.
        remarks: what to beware of, beyond what the results say themselves.
    """

    title: str
    results: Mapping[str, MetricResult]
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    curve: DistanceCurve | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the same content without the pixels, as strict JSON can hold it."""
        return {
            "title": self.title,
            "verdict": verdict(self.results),
            "warnings": list(self.warnings()),
            "results": {name: result.to_json() for name, result in self.results.items()},
            "curve": self.curve.to_json() if self.curve else None,
            "pictures": {name: picture.caption for name, picture in self.pictures.items()},
            "facts": dict(self.facts),
            "settings": dict(self.settings),
            "command": self.command,
        }

    def warnings(self) -> tuple[str, ...]:
        """Return all that a reader should know before using the numbers."""
        return (*warnings(self.results, self.curve), *self.remarks)


def write_page(report: Report) -> str:
    """Return the page as one string; every text in it is escaped, and a policy forbids it to load anything."""
    parts = [_head(report), _care(report), _section("Results", metrics_table(report.results))]
    parts += [_pictures(report), _curve(report), _facts(report), _again(report)]
    style = files("evaluation").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    words = verdict(report.results)
    return f"<h1>{escape(report.title)}</h1>" + (f'\n<p class="verdict">{escape(words)}</p>' if words else "")


def _care(report: Report) -> str:
    items = "\n".join(f"<li>{escape(warning)}</li>" for warning in report.warnings())
    return f'<aside class="care">\n<h2>Read with care</h2>\n<ul>\n{items}\n</ul>\n</aside>' if items else ""


def _pictures(report: Report) -> str:
    shown = [_figure(picture) for name, picture in report.pictures.items() if name != ON_CURVE]
    return _section("Pictures", '<div class="pictures">\n' + "\n".join(shown) + "\n</div>") if shown else ""


def _figure(picture: Picture) -> str:
    content = picture.path.read_bytes()
    if not content.startswith(PNG):
        raise ValueError(f"a picture must be a PNG file, but {picture.path.name} is none")
    source, caption = base64.b64encode(content).decode("ascii"), escape(picture.caption)
    return (
        f'<figure>\n<img src="data:image/png;base64,{source}" alt="{caption}">\n'
        f"<figcaption>{caption}</figcaption>\n</figure>"
    )


def _curve(report: Report) -> str:
    if report.curve is None:
        return ""
    drawn = [_figure(report.pictures[ON_CURVE])] if ON_CURVE in report.pictures else []
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in ("n", "mean", "smallest", "largest"))
    lines = {"generated against real": report.curve.points, "real against other real": report.curve.floor}
    tables = [
        f"<table>\n<caption>{name}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(_cells(point.n, *map(_significant, (point.mean, point.low, point.high))) for point in points)
        + "\n</tbody>\n</table>"
        for name, points in lines.items()
        if points
    ]
    words = "<p>The distance on random parts of the images: whole patients, n images per side.</p>"
    details = (
        f'<details>\n<summary>The numbers</summary>\n<div class="pictures">\n{"".join(tables)}\n</div>\n</details>'
    )
    return _section("Distance against n", "\n".join([words, *drawn, details]))


def _facts(report: Report) -> str:
    rows = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts.items())
    return _section("Made with", f'<dl class="facts">\n{rows}\n</dl>') if rows else ""


def _again(report: Report) -> str:
    settings = json.dumps(report.settings, indent=2, default=str)
    parts = [f'<pre class="command">{escape(report.command)}</pre>'] if report.command else []
    parts += [f"<details>\n<summary>Settings</summary>\n<pre>{escape(settings)}</pre>\n</details>"] * bool(
        report.settings
    )
    return _section("To make these numbers again", "\n".join(parts)) if parts else ""


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def _cells(*cells: object) -> str:
    return "<tr>" + "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells) + "</tr>"


def _significant(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else str(value)
