"""The table of a study, from nothing but what the tracker holds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation import MetricResult, Table, rank_agreement
from sbldm.errors import RunError
from sbldm.files import atomic_write
from search.ablation_table import NOT_DISTINGUISHABLE, YARDSTICKS, AblationTable, Row
from search.budget import add_spent, average_costs, count_spent
from search.front import front_table, recall_pruned, recall_tried
from search.inspect import FORMATS
from search.open_study import OpenStudy
from search.reference import read_reference
from search.replicates import compare_cells, over_seeds
from search.study import Study
from search.study_file import find_question
from search.tracking import Artifact, MlflowStore, RunRecord

__all__ = [
    "NOT_DISTINGUISHABLE",
    "AblationTable",
    "log_table",
    "recall_study",
    "study_table",
    "tabulate",
]

SHOWN = ("eval/fd_", "eval/kid_", "eval/precision_", "eval/recall_")
DOCUMENT = "study.json"
Runs = Sequence[tuple[RunRecord, dict[str, MetricResult]]]


def tabulate(study: Study, name: str, store: MlflowStore) -> AblationTable:
    """Return the ablation of all finished trials of a study.

    Raises:
        RunError: none has finished.
    """
    runs = [
        (run, store.results(run.run_id)) for run in store.runs(study=name, kind="trial") if run.status == "FINISHED"
    ]
    labels = [cell.label for cell in study.cells()]
    found = {label: [pair for pair in runs if pair[0].tags["sbldm.cell"] == label] for label in labels}
    by_cell = {label: pairs for label, pairs in found.items() if pairs}
    if not by_cell:
        raise RunError(f"study {name!r} has no finished trial; run `sbldm search --study {study.name}` first")
    first = runs[0][1]
    return AblationTable(
        study=name,
        question=study.question,
        baseline=study.baseline,
        rows=_rows(by_cell, study.baseline, store),
        yardsticks=_yardsticks(first),
        reconstruction=tuple(
            each for key, each in first.items() if key.startswith("reconstruction/") and "/fd_" not in key
        ),
        agreement=_agreement(by_cell),
        spent=add_spent(
            count_spent([run], results[_lead(results)].n.get("generated"))
            for pairs in by_cell.values()
            for run, results in pairs
        ),
    )


def recall_study(name: str, store: MlflowStore) -> Study | OpenStudy:
    """Return the study that trials of this name belong to: as its own run keeps it, or as it is known by its name.

    Raises:
        RunError: neither knows it.
    """
    for run in reversed(store.runs(study=name, kind="study")):
        if DOCUMENT in store.names(run.run_id, ""):
            value = store.document(run.run_id, DOCUMENT)
            return OpenStudy.from_json(value) if "ranges" in value else Study.from_json(value)
    return find_question(name)


def study_table(name: str, store: MlflowStore) -> Table:
    """Return the table of a study of this name, a grid or a search, from nothing but the tracker."""
    study = recall_study(name, store)
    if isinstance(study, OpenStudy):
        return front_table(recall_tried(study, name, store), study, name, recall_pruned(name, store))
    return tabulate(study, name, store).table()


def log_table(ablation: AblationTable, home: Path, store: MlflowStore) -> tuple[Path, ...]:
    """Write the table in every format beside the best trial's pictures, and keep it with the study's own run."""
    folder, table = home / "tables" / ablation.study, ablation.table()
    paths = []
    for ending, write in FORMATS.items():
        path = folder / f"table.{'tex' if ending == 'latex' else ending}"
        atomic_write(path, write(table).encode())
        paths.append(path)
    trials = [run for run in store.runs(study=ablation.study, kind="trial") if run.status == "FINISHED"]
    lead = f"eval/{next(iter(ablation.metrics))}"
    best = min(trials, key=lambda run: run.metrics.get(lead, math.inf))
    pictures = sorted(store.fetch(best.run_id, "pictures", folder).glob("*.png"))
    for run in store.runs(study=ablation.study, kind="study"):
        for path in paths:
            store.keep(run.run_id, Artifact(path, "tables"))
    return (*paths, *pictures)


def _rows(by_cell: Mapping[str, Runs], baseline: str, store: MlflowStore) -> tuple[Row, ...]:
    first = next(iter(by_cell.values()))[0][1]
    lead = _lead(first)
    cells = {
        label: {run.tags["sbldm.seed"]: results[lead] for run, results in pairs} for label, pairs in by_cell.items()
    }
    extractor = str(first[lead].extractor)
    metric = first[lead].name.removesuffix(f"_{extractor}")
    repeated = len(cells.get(baseline, {})) > 1  # else there is nothing to hold the patients' part against
    runs = {label: [run for run, _ in pairs] for label, pairs in by_cell.items()}
    reference = read_reference(runs, metric, extractor, store) if repeated else None
    differences = compare_cells(cells, baseline, reference)
    names = [key for key, result in first.items() if key.startswith(SHOWN) and result.extractor == extractor]
    return tuple(
        Row(
            label=label,
            results={
                key.removeprefix("eval/"): over_seeds([results[key] for _, results in pairs])
                for key in names
                if all(key in results for _, results in pairs)
            },
            difference=differences.get(label),
            costs=average_costs([run.metrics for run, _ in pairs]),
            seeds=len(cells[label]),
        )
        for label, pairs in by_cell.items()
    )


def _agreement(by_cell: Mapping[str, Runs]) -> str:
    """Say whether two extractors order the settings alike by their Frechet distance; nothing with one extractor."""
    keys = [key for key in next(iter(by_cell.values()))[0][1] if key.startswith("eval/fd_")]
    if len(keys) < 2:
        return ""
    found = {
        label: {key.removeprefix("eval/fd_"): over_seeds([results[key] for _, results in pairs]) for key in keys}
        for label, pairs in by_cell.items()
    }
    return rank_agreement(found, *(key.removeprefix("eval/fd_") for key in keys)).words


def _yardsticks(results: dict[str, MetricResult]) -> dict[str, MetricResult]:
    lead = _lead(results).removeprefix("eval/")
    return {kind: results[f"{kind}/{lead}"] for kind in YARDSTICKS if f"{kind}/{lead}" in results}


def _lead(results: Mapping[str, MetricResult]) -> str:
    return next(key for key in results if key.startswith("eval/fd_"))
