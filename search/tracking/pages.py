"""MLflow's own pages, on this machine alone, opened where a study can be seen."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from sbldm.errors import RunError, StorageError
from search.redaction import redact
from search.tracking.items import RunRecord
from search.tracking.mlflow_store import MlflowStore
from search.tracking.saved_view import CELL, View

ADDRESS = "http://127.0.0.1:5000"
BESIDE = ("kid", "precision", "recall")
MOST_AXES = 6


def show_study(store: MlflowStore, study: str, address: str = ADDRESS) -> str:
    """Keep a page with the study's charts in the store, and return its address on a server.

    Raises:
        RunError: the study has no trial here.
    """
    runs = store.runs(study=study, kind="trial")
    if not runs:
        raise RunError(f"no study {study!r} is tracked here; `sbldm runs` lists what there is")
    view = view_of(study, store.experiment_id, runs)
    with suppress(StorageError, RunError):  # without it the page lists the trials all the same
        store.tag_experiment(view.tag, view.to_tag(int(time.time() * 1000)))
    return view.link(address)


def show_studies(store: MlflowStore, study: str | None, port: int) -> list[str]:
    """Return the address of a study's page, or of every study's, on the store's own server or on one of this machine.

    Raises:
        RunError: there is no such study.
    """
    address = store.uri if store.uri.startswith("http") else f"http://127.0.0.1:{port}"
    known = {run.tags["sbldm.study"]: None for run in store.runs(kind="trial") if "sbldm.study" in run.tags}
    return [redact(show_study(store, name, address.rstrip("/"))) for name in ([study] if study else known)]


def view_of(study: str, experiment: str, runs: Sequence[RunRecord]) -> View:
    """Return the page of a study's runs: what differs between them, and the numbers that all of them have."""
    done = [run for run in runs if run.status == "FINISHED"] or list(runs)
    extractor = done[0].params.get("evaluation.extractor", "lite0")
    wanted = [f"eval/{name}_{extractor}" for name in BESIDE] + ["cost/train_seconds"]
    return View(
        study,
        experiment,
        lead=f"eval/fd_{extractor}",
        metrics=tuple(name for name in wanted if all(name in run.metrics for run in done)),
        axes=_axes(done),
        sections=tuple(sorted({name.split("/")[0] for run in runs for name in run.metrics if "/" in name})),
    )


def serve(store: MlflowStore, port: int) -> None:
    """Run MLflow's own pages on this machine's loopback address until interrupted, unless a server shows them."""
    if store.uri.startswith("http"):
        return
    options = ["--backend-store-uri", store.uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    subprocess.run([sys.executable, "-m", "mlflow", "ui", *options], check=False, env=environment)  # noqa: S603


def _axes(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    shared = [name for name in runs[0].params if all(name in run.params for run in runs)]
    differing = [name for name in shared if len({run.params[name] for run in runs}) > 1]
    first = [name for name in (CELL, "seed") if name in differing]
    axes = [*first, *(name for name in differing if name not in first)][:MOST_AXES]
    return tuple(axes) or (CELL,)
