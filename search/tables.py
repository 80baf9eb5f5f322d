"""What `sbldm table` prints: one study or several, from nothing but what the tracker holds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation import Table
from sbldm.errors import ConfigError
from search.ablation import recall_study, tabulate
from search.ablation_table import AblationTable, describe_comparisons
from search.front import front_table, recall_pruned, recall_tried
from search.inspect import find_format
from search.interval_plot import draw_intervals
from search.merged_table import choose_family, merge_tables
from search.open_study import OpenStudy
from search.study import Study
from search.study_file import find_question
from search.tracking import MlflowStore

Named = tuple[Study | OpenStudy, str]
"""A question, and the name its trials are tracked under."""


def print_tables(
    words: Sequence[str],
    store: MlflowStore,
    *,
    name: str | None = None,
    form: str = "md",
    family: str = "study",
    figure: Path | None = None,
    as_json: bool = False,
) -> str:
    """Return grids as one table, then each search over ranges as its own; and draw the grids' intervals.

    Args:
        words: studies: the name of one or of an instance of one, or a YAML file.
        store: where their trials are tracked.
        name: of the instance, where one study is asked for by its question.
        form: md, latex, csv or html.
        family: whether p-values hold over each study, or over the whole table.
        figure: where to draw the intervals of all grids.
        as_json: return one JSON document instead.

    Raises:
        ConfigError: a study is named twice, a name is given to several, or there is nothing to draw.
        RunError: a study is unknown or has no finished trial.
    """
    write, named = find_format(form), _find_all(words, name, store)
    found = [(tabulate(study, own, store), own) for study, own in named if isinstance(study, Study)]
    ablations = choose_family([each for each, _ in found], family)
    fronts = [
        front_table(recall_tried(study, own, store), study, own, recall_pruned(own, store))
        for study, own in named
        if isinstance(study, OpenStudy)
    ]
    if figure is not None:
        _draw(ablations, figure)
    if as_json:
        studies = [each.to_json() for each in ablations] + [_to_json(each) for each in fronts]
        return json.dumps({"studies": studies, "comparisons": describe_comparisons(ablations)}, indent=2)
    whole = [ablations[0].table() if len(ablations) == 1 else merge_tables(ablations)] if ablations else []
    return "\n".join(write(each) for each in [*whole, *fronts])


def _find_all(words: Sequence[str], name: str | None, store: MlflowStore) -> list[Named]:
    if name is not None and len(words) > 1:
        raise ConfigError(f"--name is of one study, but got {len(words)}; give the instances' own names instead")
    named = [_find(word, name, store) for word in words]
    for _, own in named:
        if [each for _, each in named].count(own) > 1:
            raise ConfigError(f"name different studies, but {own!r} is given twice")
    return named


def _find(word: str, name: str | None, store: MlflowStore) -> Named:
    """Return what a word names: an instance of this name in the store, else a question whose instance has its name."""
    if name is not None or Path(word).suffix in (".yaml", ".yml"):
        question = find_question(word)
        return question, name or question.name
    return recall_study(word, store), word


def _to_json(front: Table) -> dict[str, Any]:
    rows = [dict(zip(front.header, row, strict=True)) for row in front.rows]
    return {"title": front.title, "settings": rows, "caption": front.caption}


def _draw(ablations: Sequence[AblationTable], figure: Path) -> None:
    if not ablations:
        raise ConfigError("a figure needs the grid of settings of a study, but all that were named search ranges")
    if figure.suffix not in (".png", ".svg"):
        raise ConfigError(f"a figure is written as .png and .svg, but got {figure.name!r}")
    draw_intervals(ablations, figure)
