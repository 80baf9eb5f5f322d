"""Tables of results as Markdown, LaTeX (booktabs), CSV and HTML."""

import csv
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.types import Direction, MetricResult

ARROWS = {"lower": "↓", "higher": "↑"}
ROUNDING = 1e-9  # of 1 or the larger end: a narrower interval is the work of float arithmetic
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "±": r"$\pm$",
    "\u2212": r"$-$",
    "\u00d7": r"$\times$",
    "Δ": r"$\Delta$",
    "—": "---",
    "<": r"$<$",
    ">": r"$>$",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
}


@dataclass(frozen=True)
class Table:
    """A titled grid of words; the caption says how the numbers were made."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"every row must have {len(self.header)} cells, but {row[:1]} has {len(row)}")


def point_out(name: str, direction: Direction | None) -> str:
    """Return a metric's name with the arrow of its better values, if it has a direction.

    >>> point_out("ssim", "higher"), point_out("share_csf", None)
    ('ssim ↑', 'share_csf')
    """
    return f"{name} {ARROWS[direction]}" if direction else name


def tabulate_results(title: str, results: Mapping[str, Sequence[MetricResult]]) -> Table:
    """Set one row per variant and one column per metric; a variant without a metric shows a dash."""
    names: dict[str, MetricResult] = {}
    for row in results.values():
        for result in row:
            names.setdefault(result.name, result)
    header = ("variant", *(point_out(name, first.direction) for name, first in names.items()))
    rows = []
    for label, row in results.items():
        cells = {result.name: format_interval(result) for result in row}
        rows.append((label, *(cells.get(name, "—") for name in names)))
    return Table(title, header, tuple(rows), describe_results([result for row in results.values() for result in row]))


def describe_results(results: Sequence[MetricResult]) -> str:
    """Say for each metric its level, n, interval method and note; what all variants share is said once."""
    words: dict[str, None] = {}
    for result in results:
        n = ", ".join(f"{count} {side.replace('_', ' ')}" for side, count in result.n.items())
        note = f"; {result.note}" if result.note else ""
        words[f"{result.name}: {100 * result.level:g} % interval, {result.interval}; {n}{note}."] = None
    return " ".join(words)


def format_interval(result: MetricResult) -> str:
    """Write `12.3 [10.1, 14.5]`, with two digits of the interval's half-width; a withheld value is a dash."""
    if math.isnan(result.point):
        return "—"
    if result.low is None or result.high is None:
        return f"{result.point:.4g}"
    half = (result.high - result.low) / 2
    if not (math.isfinite(half) and half > ROUNDING * max(1, abs(result.low), abs(result.high))):
        return f"{result.point:.4g} [{result.low:.4g}, {result.high:.4g}]"
    decimals = max(0, 1 - math.floor(math.log10(half)))
    return f"{result.point:.{decimals}f} [{result.low:.{decimals}f}, {result.high:.{decimals}f}]"


def to_markdown(table: Table) -> str:
    """Write a pipe table under its title.

    >>> print(to_markdown(Table("", ("setting", "fd"), (("linear", "12.3 [10.1, 14.5]"),))), end="")
    | setting | fd |
    |---|---|
    | linear | 12.3 [10.1, 14.5] |
    """
    lines = [f"### {table.title}", ""] if table.title else []
    lines += [_pipe(table.header), "|" + "---|" * len(table.header), *(_pipe(row) for row in table.rows)]
    lines += ["", table.caption] if table.caption else []
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """Write a booktabs table; the title opens the caption."""
    body = [_latex_row(row) for row in table.rows]
    caption = " ".join(part for part in (_sentence(_latex(table.title)), _latex(table.caption)) if part)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            r"\toprule",
            _latex_row(table.header),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "?", "!")) else f"{text}."


def to_csv(table: Table) -> str:
    """Write header and rows; title and caption stay out, so that any reader can parse it."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return stream.getvalue()


def to_html(table: Table) -> str:
    """Write a bare table element, every word escaped."""
    caption = html.escape(" ".join(part for part in (table.title, table.caption) if part))
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in table.rows)
    return f"<table>\n<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_latex(cell) for cell in cells) + r" \\"


def _latex(text: str) -> str:
    """Escape LaTeX's special characters; a bracket that opens a cell would be read as a row's option."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped
