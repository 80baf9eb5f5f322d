import csv
import io
import re
from html.parser import HTMLParser

import pytest

from evaluation import (
    MetricResult,
    Table,
    describe_results,
    format_interval,
    tabulate_results,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)

AWKWARD = Table(
    title="50 % of A_1 & <B>",
    header=("variant", "fd_lite0 ↓"),
    rows=(('a|b, "c"', "1.2 [1.1, 1.3]"), (r"back\slash #{x}~^$", "[2]")),
    caption="n = 20",
)


def result(name="fd_lite0", point=12.345, low=10.12, high=14.51, direction="lower", **changes):
    base = {"level": 0.95, "interval": "resampling", "n": {"real": 20}, "extractor": None}
    return MetricResult(name=name, point=point, low=low, high=high, direction=direction, **{**base, **changes})


@pytest.mark.parametrize(
    ("point", "low", "high", "expected"),
    [
        (12.345, 10.12, 14.51, "12.3 [10.1, 14.5]"),
        (0.005123, 0.004123, 0.006123, "0.0051 [0.0041, 0.0061]"),
        (1234.5, 1034.5, 1434.5, "1234 [1034, 1434]"),
        (0.5, None, None, "0.5"),
        (float("inf"), None, None, "inf"),
        (1.0, 1.0, 1.0, "1 [1, 1]"),
        (1.0, 1 - 3e-16, 1 + 3e-16, "1 [1, 1]"),
        (5e-18, -1e-17, 2e-17, "5e-18 [-1e-17, 2e-17]"),
        (4e6, 4e6 - 1e-6, 4e6 + 1e-6, "4e+06 [4e+06, 4e+06]"),
    ],
)
def test_an_interval_shows_the_digits_it_determines(point, low, high, expected):
    assert format_interval(result(point=point, low=low, high=high)) == expected


def test_results_become_a_row_per_variant_and_a_column_per_metric():
    table = tabulate_results(
        "T", {"base": [result(), result("ssim", 0.8, 0.7, 0.9, "higher")], "short": [result("ssim", 0.5, 0.4, 0.6)]}
    )
    assert table.header == ("variant", "fd_lite0 ↓", "ssim ↑")
    assert table.rows == (("base", "12.3 [10.1, 14.5]", "0.80 [0.70, 0.90]"), ("short", "—", "0.50 [0.40, 0.60]"))


def test_the_caption_says_once_how_an_interval_was_made_and_from_how_many():
    words = describe_results([result(note="biased up"), result(point=3.0, note="biased up")])
    assert words == "fd_lite0: 95 % interval, resampling; 20 real; biased up."


def test_a_ragged_table_is_refused():
    with pytest.raises(ValueError, match="2 cells"):
        Table("T", ("a", "b"), (("only",),))


def test_csv_reads_back_unchanged():
    assert list(csv.reader(io.StringIO(to_csv(AWKWARD)))) == [list(row) for row in (AWKWARD.header, *AWKWARD.rows)]


def test_html_reads_back_unchanged():
    class Cells(HTMLParser):
        def __init__(self):
            super().__init__()
            self.cells, self.tags = [], []

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)

        def handle_data(self, data):
            if data.strip():
                self.cells.append(data)

    parser = Cells()
    parser.feed(to_html(AWKWARD))
    words = [f"{AWKWARD.title} {AWKWARD.caption}", *AWKWARD.header, *AWKWARD.rows[0], *AWKWARD.rows[1]]
    assert parser.cells == words
    assert "b" not in parser.tags, "a name in angle brackets stays a name"


def test_markdown_keeps_its_columns():
    lines = [line for line in to_markdown(AWKWARD).splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}


def test_latex_leaves_no_special_character_unescaped():
    text = to_latex(AWKWARD)
    rows = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert r"back\textbackslash{}slash \#\{x\}\textasciitilde{}\textasciicircum{}\$ & {}[2] \\" in rows
    assert r"\caption{50 \% of A\_1 \& $<$B$>$. n = 20}" in text
    assert r"fd\_lite0 $\downarrow$" in text
    for row in rows.strip().splitlines():
        assert len(re.findall(r"(?<!\\)&", row)) == 1
