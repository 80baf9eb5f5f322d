"""Several studies as one table for a paper, and over which comparisons its p-values hold."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

from evaluation import Table, describe_results
from evaluation.difference import adjust
from sbldm.errors import ConfigError
from sbldm.spec import did_you_mean
from search.ablation_table import AblationTable, Columns, describe_comparisons
from search.budget import NOTE, add_spent

Family = Literal["study", "table"]
FAMILIES: tuple[Family, ...] = get_args(Family)


def choose_family(ablations: Sequence[AblationTable], family: str) -> tuple[AblationTable, ...]:
    """Return the studies with p after Holm over each study's own comparisons, or over all of them together.

    Raises:
        ConfigError: there is no such family.
    """
    if family not in FAMILIES:
        raise ConfigError(
            f"family must be one of {', '.join(FAMILIES)}, but got {family!r}{did_you_mean(family, FAMILIES)}"
        )
    if family == "study" or len(ablations) < 2:
        return tuple(ablations)
    places = [(at, row) for at, each in enumerate(ablations) for row in each.rows if row.difference]
    adjusted = adjust([row.difference for _, row in places if row.difference])
    compared = sum(len(each.compared) for each in ablations)
    words = f"all {compared} comparisons of studies {', '.join(each.study for each in ablations)}"
    rows = {(at, row.label): replace(row, difference=new) for (at, row), new in zip(places, adjusted, strict=True)}
    return tuple(
        replace(each, family=words, rows=tuple(rows.get((at, row.label), row) for row in each.rows))
        for at, each in enumerate(ablations)
    )


def merge_tables(ablations: Sequence[AblationTable]) -> Table:
    """Return several studies as one table: rows grouped by study, metrics that any study has, costs in total.

    Raises:
        ConfigError: no study is given, or two lead with different metrics, whose differences share no column.
    """
    leads = list(dict.fromkeys(next(iter(each.metrics)) for each in ablations))
    if len(leads) != 1:
        raise ConfigError(f"studies in one table must lead with one metric, but got {leads}")
    columns, spent = Columns.of(ablations), add_spent(each.spent for each in ablations)
    rows = [(each.study, *columns.cells(row, each.baseline)) for each in ablations for row in each.rows]
    questions = [f"{each.study}: {each.question}" for each in ablations]
    measured = describe_results(list(columns.metrics.values()))
    return Table(
        title=f"Studies {', '.join(each.study for each in ablations)}",
        header=("study", *columns.header()),
        rows=(*rows, ("total", *columns.total(spent))),
        caption=" ".join([*questions, measured, describe_comparisons(ablations), NOTE, spent.words()]),
    )
