"""The runs of an MLflow server or database: what is there, and what is added to it."""

import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from evaluation import MetricResult
from sbldm.errors import ResourceError, RunError, StorageError
from sbldm.files import read_json
from search.locks import holding
from search.tracking.items import LogItem, RunRecord
from search.tracking.mlflow_tracker import MlflowTracker

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read once, at import
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

EXPERIMENT = "sbldm"


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
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints the trace of what it raises
        home = home.resolve()
        if must_exist and not uri and not (home / "mlflow.db").exists():
            raise RunError(f"{home}: no runs are tracked here yet; train one, or name another folder with --mlruns")
        self.uri = uri or f"sqlite:///{home / 'mlflow.db'}"
        try:
            with nullcontext() if must_exist or uri else holding(home / "locks" / "mlflow.lock"):
                client = MlflowClient(tracking_uri=self.uri)
                found = client.get_experiment_by_name(EXPERIMENT)
                artifacts = None if uri else (home / "artifacts").as_uri()
                tags = {"mlflow.experimentKind": "custom_model_development"}
                self.experiment_id = str(
                    found.experiment_id if found else client.create_experiment(EXPERIMENT, artifacts, tags)
                )
        except ResourceError:
            raise
        except Exception as error:  # sqlalchemy has a family of its own
            raise StorageError(f"{self.uri}: the tracking store does not answer ({_first_line(error)})") from error
        self._client: Any = _Client(client, MlflowException)

    def holds(self, run_id: str) -> bool:
        """Return whether the run is here and has not been deleted."""
        return bool(self._client.search_runs([self.experiment_id], f"attributes.run_id = '{run_id}'"))

    def start(self, name: str, *, kind: str, parent: str | None = None, tags: Mapping[str, str] | None = None) -> str:
        """Open a run and return its id; nothing in it names a user or a path."""
        own = {"sbldm.kind": kind, "mlflow.user": "sbldm", "mlflow.source.name": "sbldm", **(tags or {})}
        if parent:
            own["mlflow.parentRunId"] = parent
        run_id: str = self._client.create_run(self.experiment_id, run_name=name, tags=own).info.run_id
        return run_id

    def tracker(self, run_id: str) -> MlflowTracker:
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
        except OSError as error:  # a StorageError is one
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


class _Client:
    """MLflow's client, whose failures are ours."""

    def __init__(self, client: Any, failure: type[Exception]) -> None:
        self._client = client
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def answer(*arguments: Any, **named: Any) -> Any:
            try:
                return call(*arguments, **named)
            except self._failure as error:
                raise StorageError(f"the tracking store refuses to {name} ({_first_line(error)})") from error

        return answer


def _to_record(run: Any) -> RunRecord:
    data, info = run.data, run.info
    return RunRecord(
        info.run_id, info.run_name or "", info.status, dict(data.params), dict(data.metrics), dict(data.tags)
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
