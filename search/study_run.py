"""A study's own tracked run: what it was begun with, how it stands, and that no run is opened twice."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sbldm.errors import RunError
from search.config import ExperimentConfig, flatten
from search.open_study import Goal, OpenStudy
from search.queue import TrialQueue
from search.study import Study
from search.tracking import CELL, Document, MlflowStore, Params, Scalar, Tags

DOCUMENT = "study.json"
DECISIVE = ("ranges", "objectives", "constraints", "sampler")

LAST_SECONDS = 30.0


def facts(base: ExperimentConfig, study: Study | OpenStudy, seeds: Sequence[int] = ()) -> dict[str, str]:
    """Return what must not change under a study; paths are private, so files are known by their digest.

    A search learns from its earlier draws, so that its ranges, aims and seeds are among it.
    """
    files = base.data.fingerprint()
    told = flatten(base.model_copy(update={"seed": 0}).public()) | ({"data.files": files} if files else {})
    if isinstance(study, Study):
        return told
    asked = study.to_json()
    return told | {f"study.{key}": json.dumps(asked[key]) for key in DECISIVE} | {"seeds": json.dumps(list(seeds))}


def goals(study: Study | OpenStudy) -> tuple[Goal, ...]:
    """Return what Optuna is to do with each objective."""
    return tuple(study.objectives.values()) if isinstance(study, OpenStudy) else ("minimize",)


def check_cells(queue: TrialQueue, study: Study, name: str) -> None:
    """Refuse to go on with trials of settings that the study has lost since it was begun."""
    keys = {cell.key for cell in study.cells()}
    lost = sorted({str(trial["cell"]) for trial in queue.waiting() if trial["key"] not in keys})
    if lost:
        raise RunError(
            f"study {name!r} was begun with settings that {study.name} no longer has ({', '.join(lost)});"
            " give this one another name with --name"
        )


def open_parent(queue: TrialQueue, study: Study | OpenStudy, store: MlflowStore, name: str) -> str:
    """Return the study's own run, made on first use; it keeps what is asked, so that a table needs no file.

    Raises:
        RunError: trials have finished that this store does not hold.
    """
    store.catch_up()
    with queue.alone():
        known = str(queue.study.user_attrs.get("parent", ""))
        if known and store.holds(known):
            store.keep(known, Document(DOCUMENT, study.to_json()))
            return known
        if queue.counts()["COMPLETE"]:
            raise RunError(
                f"study {name!r} has finished trials that this tracking store does not hold: name the one it was begun"
                " with, or give the study another name with --name (what was trained is still in the cache)"
            )
        tags = {"sbldm.study": name, "sbldm.question": study.question}
        tags |= {"sbldm.baseline": study.baseline} if isinstance(study, Study) else {"sbldm.sampler": study.sampler}
        parent = find_or_start(queue, store, "study", f"study {name}", kind="study", tags=tags)
        store.keep(parent, Document(DOCUMENT, study.to_json()))
        queue.study.set_user_attr("parent", parent)
        return parent


def find_or_start(
    queue: TrialQueue,
    store: MlflowStore,
    own: str,
    name: str,
    *,
    kind: str,
    tags: Mapping[str, str],
    parent: str | None = None,
) -> str:
    """Return the run that a worker has opened and could not note down before it died, or open one.

    Only the holder of the lock on what the run is of may ask.

    Args:
        queue: of the study.
        store: where the run is tracked.
        own: what names it within the study.
        name: of a new run.
        kind: of a new run.
        tags: of a new run.
        parent: of a new run.
    """
    uid = f"{_uid(queue)}-{own}"
    run_id = store.start(name, kind=kind, parent=parent, tags={**tags, "sbldm.uid": uid})
    if cell := tags.get("sbldm.cell"):
        store.keep(run_id, Params({CELL: cell}))  # which charts can show
    return run_id


def close_parent(queue: TrialQueue, study: Study | OpenStudy, store: MlflowStore, parent: str) -> None:
    """Say how the study stands: its counts and best value on the parent run, and the truth on abandoned ones."""
    store.close_abandoned([trial["run"] for trial in queue.waiting() if "run" in trial])
    counts = queue.counts()
    tracker = store.tracker(parent)
    for state, count in counts.items():
        tracker.log(Scalar(f"trials/{state.lower()}", count))
    if counts["COMPLETE"] and not isinstance(study, OpenStudy):  # which has a front
        best = queue.study.best_trial
        tracker.log(Scalar("best/fd", float(best.values[0])))
        tracker.log(Tags({"sbldm.best": str(best.user_attrs["cell"])}))
    left = queue.left(study.trials if isinstance(study, OpenStudy) else None)
    tracker.finish("FINISHED" if counts["RUNNING"] + left == 0 else "KILLED")
    store.catch_up()  # with what workers have left that are gone
    store.settle(LAST_SECONDS)


def study_from_json(value: Mapping[str, Any]) -> Study | OpenStudy:
    """Return the study whose ``to_json`` wrote this."""
    return OpenStudy.from_json(value) if "ranges" in value else Study.from_json(value)


def _uid(queue: TrialQueue) -> str:
    """Return what tells this study from another of its name; the first call is in ``open_parent``, alone."""
    uid = queue.study.user_attrs.get("uid")
    if uid is None:
        uid = uuid.uuid4().hex
        queue.study.set_user_attr("uid", uid)
    return str(uid)
