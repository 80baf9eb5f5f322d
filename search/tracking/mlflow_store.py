"""The one file that knows MLflow."""

import io
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from evaluation import MetricResult
from sbldm.errors import RunError, StorageError
from sbldm.files import read_json
from search.tracking.items import (
    Document,
    LogItem,
    Params,
    Picture,
    RunRecord,
    Scalar,
    Status,
    Tags,
)

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read once, at import
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

EXPERIMENT = "sbldm"
LONGEST_PARAM = 500
BUFFER = 100


class MlflowStore:
    """The runs of one tracking server or local database.

    Args:
        home: folder of the local database and artifacts.
        uri: another tracking server; None for ``home``.
        must_exist: refuse to make an empty local database.
    """

    def __init__(self, home: Path, uri: str | None = None, *, must_exist: bool = False) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        home = home.resolve()
        if must_exist and not uri and not (home / "mlflow.db").exists():
            raise RunError(f"{home}: no runs are tracked here yet; train one, or name another folder with --mlruns")
        self.uri = uri or f"sqlite:///{home / 'mlflow.db'}"
        self._failure = MlflowException
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(tracking_uri=self.uri)
            found = self._client.get_experiment_by_name(EXPERIMENT)
            artifacts = None if uri else (home / "artifacts").as_uri()
            tags = {"mlflow.experimentKind": "custom_model_development"}
            self.experiment_id: str = (
                found.experiment_id if found else self._client.create_experiment(EXPERIMENT, artifacts, tags)
            )
        except Exception as error:  # sqlalchemy has a family of its own
            raise StorageError(f"{self.uri}: the tracking store does not answer ({_first_line(error)})") from error

    def start(self, name: str, *, kind: str, parent: str | None = None, tags: Mapping[str, str] | None = None) -> str:
        """Open a run and return its id; nothing in it names a user or a path."""
        own = {"sbldm.kind": kind, "mlflow.user": "sbldm", "mlflow.source.name": "sbldm", **(tags or {})}
        if parent:
            own["mlflow.parentRunId"] = parent
        run_id: str = self._client.create_run(self.experiment_id, run_name=name, tags=own).info.run_id
        return run_id

    def tracker(self, run_id: str) -> "MlflowTracker":
        """Return the record of a run, open for more; a run that had ended runs again."""
        self._client.update_run(run_id, status="RUNNING")
        return MlflowTracker(self._client, run_id)

    def keep(self, run_id: str, item: LogItem) -> None:
        """Add one item to a run without opening it again."""
        MlflowTracker(self._client, run_id).log(item)

    def runs(self, **tags: str) -> list[RunRecord]:
        """Return all runs that carry these tags (``kind="trial"`` for ``sbldm.kind``), oldest first."""
        if any("'" in value for value in tags.values()):
            raise RunError(f"a name must not hold a quotation mark, but got {tags}")
        wanted = " and ".join(f"tags.`sbldm.{key}` = '{value}'" for key, value in tags.items())
        pages: list[RunRecord] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], wanted, order_by=["attributes.start_time ASC"], page_token=token
            )
            pages += [_to_record(run) for run in page]
            token = page.token
            if not token:
                return pages

    def find(self, prefix: str) -> RunRecord:
        """Return the run whose id begins so.

        Raises:
            RunError: there is none, or more than one.
        """
        if not prefix.isalnum():
            raise RunError(f"a run id has letters and digits only, but got {prefix!r}")
        matches = [run for run in self.runs() if run.run_id.startswith(prefix)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise RunError(f"run id {prefix!r} fits {len(matches)} runs; give more of it")
        raise RunError(f"no run with id {prefix!r}; `sbldm runs` lists what there is")

    def fetch(self, run_id: str, name: str, folder: Path) -> Path:
        """Return a local copy of an artifact."""
        try:
            return Path(self._client.download_artifacts(run_id, name, str(folder)))
        except (self._failure, OSError) as error:
            raise RunError(f"run {run_id[:8]} holds no artifact {name} ({_first_line(error)})") from error

    def document(self, run_id: str, name: str) -> dict[str, Any]:
        """Return a JSON document of a run."""
        with tempfile.TemporaryDirectory() as folder:
            value = read_json(self.fetch(run_id, name, Path(folder)))
        if not isinstance(value, dict):
            raise RunError(f"run {run_id[:8]}: {name} must be a mapping")
        return value

    def results(self, run_id: str) -> dict[str, MetricResult]:
        """Return every metric of a finished run with its interval."""
        document = self.document(run_id, "results.json")
        return {name: MetricResult.from_json(value) for name, value in document.items()}

    def names(self, run_id: str, folder: str) -> list[str]:
        """Return the paths of a run's artifacts in a folder."""
        return [item.path for item in self._client.list_artifacts(run_id, folder)]

    def link(self, study: str, port: int = 5000) -> str:
        """Return the page that shows a study's trials side by side, best first."""
        query = {
            "workflowType": "machine_learning",
            "compareRunsMode": "CHART",
            "orderByKey": "metrics.`eval/fd_lite0`",
            "orderByAsc": "true",
            "searchFilter": f"tags.`sbldm.study` = '{study}' and tags.`sbldm.kind` = 'trial'",
        }
        return f"http://127.0.0.1:{port}/#/experiments/{self.experiment_id}/runs?{urlencode(query, quote_via=quote)}"

    def close_abandoned(self, run_ids: list[str]) -> None:
        """Say of runs whose process is gone that they were killed."""
        for run_id in run_ids:
            self._client.set_terminated(run_id, "KILLED")


class MlflowTracker:
    """Write one run's record, step metrics in batches."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self.run_id = run_id
        self._buffer: list[Scalar] = []
        self._started = int(time.time() * 1000)

    def log(self, item: LogItem) -> None:
        """Record one item; step metrics wait until there are many."""
        if isinstance(item, Scalar):
            self._buffer.append(item)
            if len(self._buffer) >= BUFFER:
                self.flush()
        elif isinstance(item, Params):
            self._log_params(item.values)
        elif isinstance(item, Tags):
            for key, value in item.values.items():
                self._client.set_tag(self.run_id, key, value)
        elif isinstance(item, Picture):
            self._log_picture(item)
        elif isinstance(item, Document):
            self._client.log_dict(self.run_id, dict(item.value), item.name)
        else:
            self._client.log_artifact(self.run_id, str(item.path), item.folder or None)

    def flush(self) -> None:
        """Send what waits."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(each.name, each.value, now, each.step) for each in self._buffer]
        for start in range(0, len(metrics), BUFFER):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + BUFFER])
        self._buffer.clear()

    def finish(self, status: Status) -> None:
        """Send what waits and close the run."""
        self.flush()
        self._client.set_terminated(self.run_id, status)

    def _log_params(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        known = self._client.get_run(self.run_id).data.params
        short = {key: text for key, text in values.items() if key not in known and 0 < len(text) <= LONGEST_PARAM}
        items = [Param(key, text) for key, text in short.items()]
        for start in range(0, len(items), BUFFER):
            self._client.log_batch(self.run_id, params=items[start : start + BUFFER])

    def _log_picture(self, item: Picture) -> None:
        from PIL import Image

        with Image.open(io.BytesIO(item.path.read_bytes())) as image:
            self._client.log_image(self.run_id, image.convert("RGB"), key=item.name, step=0)
        self._client.log_artifact(self.run_id, str(item.path), "pictures")


def _to_record(run: Any) -> RunRecord:
    data, info = run.data, run.info
    return RunRecord(
        info.run_id, info.run_name or "", info.status, dict(data.params), dict(data.metrics), dict(data.tags)
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def serve(store: MlflowStore, port: int) -> None:
    """Run MLflow's own pages on this machine's loopback address until interrupted."""
    options = ["--backend-store-uri", store.uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    subprocess.run([sys.executable, "-m", "mlflow", "ui", *options], check=False, env=environment)  # noqa: S603
