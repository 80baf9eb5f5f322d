"""What a study has come to, once its trials have run: its table and pictures, kept with its own run."""

from dataclasses import dataclass
from pathlib import Path

from evaluation import Table
from sbldm.files import atomic_write
from search.ablation import log_table, tabulate
from search.front import front_table, recall_pruned, recall_tried
from search.inspect import FORMATS
from search.open_study import OpenStudy
from search.search_plots import draw_search
from search.study import Study
from search.tracking import Artifact, MlflowStore, show_study


@dataclass(frozen=True)
class Conclusion:
    """The table of a study, and the files that show it."""

    table: Table
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Ending:
    """What a command that has run a study says: its table, and where the rest is."""

    table: str
    words: str


def end_study(study: Study | OpenStudy, name: str, home: Path, store: MlflowStore) -> Ending:
    """Conclude a study and say so, or say that its record is not in the store yet, from which it would be concluded."""
    if waits := store.backlog(f"sbldm table {name}"):
        return Ending("", waits)
    found = conclude(study, name, home, store)
    if found is None:
        return Ending("", "no trial has finished yet")
    files = "".join(f"\n  {path}" for path in found.paths)
    page = f"to compare the runs in MLflow: sbldm ui, then open {show_study(store, name)}"
    return Ending(FORMATS["md"](found.table), f"\ntables and pictures:{files}\n{page}")


def conclude(study: Study | OpenStudy, name: str, home: Path, store: MlflowStore) -> Conclusion | None:
    """Return what a study has come to so far, or None where no trial is finished."""
    outcome = "complete" if isinstance(study, OpenStudy) else None
    trials = store.runs(study=name, kind="trial", **({"outcome": outcome} if outcome else {}))
    if not any(run.status == "FINISHED" for run in trials):
        return None
    if isinstance(study, OpenStudy):
        return _conclude_search(study, name, home, store)
    ablation = tabulate(study, name, store)
    return Conclusion(ablation.table(), log_table(ablation, home, store))


def _conclude_search(study: OpenStudy, name: str, home: Path, store: MlflowStore) -> Conclusion:
    """Write the table of a search in every format beside its pictures, and keep all with the study's own run."""
    folder, tried = home / "tables" / name, recall_tried(study, name, store)
    table = front_table(tried, study, name, recall_pruned(name, store))
    tables = []
    for ending, write in FORMATS.items():
        path = folder / f"table.{'tex' if ending == 'latex' else ending}"
        atomic_write(path, write(table).encode())
        tables.append(path)
    pictures = draw_search(tried, study, folder)
    for run in store.runs(study=name, kind="study"):
        for path in tables:
            store.keep(run.run_id, Artifact(path, "tables"))
        for path in pictures:
            store.keep(run.run_id, Artifact(path, "pictures"))
    return Conclusion(table, (*tables, *pictures))
