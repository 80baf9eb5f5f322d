"""The runs of an MLflow server or database: what is there, and what is added to it."""

import tempfile
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from evaluation import MetricResult
from sbldm.errors import ResourceError, RunError, StorageError
from sbldm.files import read_json, sha256
from search.locks import holding
from search.tracking.courier import Courier
from search.tracking.delivery import LOCAL, LOCAL_ID, PARENT, UID, Delivery, local_id
from search.tracking.entries import Start
from search.tracking.items import LogItem, RunRecord
from search.tracking.mlflow_client import Client, Rest, first_line
from search.tracking.mlflow_tracker import MlflowTracker
from search.tracking.relocation import follow_move

EXPERIMENT = "sbldm"
SPOOL = "spool"


class MlflowStore:
    """The runs of one tracking server or local database.

    What is logged never waits for it: see ``MlflowTracker``. What is read does.

    Args:
        home: folder of the local database and artifacts, and of what waits for a store that does not answer.
        uri: another tracking server; None for ``home``.
        must_exist: refuse to make an empty local database.
        may_wait: begin although the store does not answer; new runs wait like all else.

    Raises:
        StorageError: the store does not answer.
    """

    def __init__(self, home: Path, uri: str | None = None, *, must_exist: bool = False, may_wait: bool = False) -> None:
        self.home = home.resolve()
        if must_exist and not uri and not (self.home / "mlflow.db").exists():
            raise RunError(
                f"{self.home}: no runs are tracked here yet; train one, or name another folder with --mlruns,"
                " or a server with --tracking-uri"
            )
        own = f"sqlite:///{self.home / 'mlflow.db'}"
        self.uri = uri or own
        self._is_local, self._may_wait = self.uri == own, may_wait
        rest = Rest()
        self._client: Any = Client(self.uri, rest)
        self._experiment_id: str | None = None
        patient = Client(self.uri, rest, is_patient=True)
        self._delivery = Delivery(patient, lambda: self._find_experiment(patient))
        self._courier = Courier(self._delivery, lambda: rest.seconds)
        self._trackers: list[MlflowTracker] = []
        try:
            with nullcontext() if must_exist or not self._is_local else holding(self.home / "locks" / "mlflow.lock"):
                self._find_experiment(self._client)
        except ResourceError:
            raise
        except StorageError:
            if not may_wait or self._is_local:
                raise

    @property
    def experiment_id(self) -> str:
        """Return the id of the experiment that all runs belong to."""
        return self._find_experiment(self._client)

    @property
    def spool(self) -> Path:
        """Return the folder of what waits for this store, which tells it from others without its address."""
        return self.home / SPOOL / ("local" if self._is_local else sha256(self.uri.encode())[:8])

    def holds(self, run_id: str) -> bool:
        """Return whether the run is here and has not been deleted; one that cannot be asked for now is."""
        if not run_id:
            return False
        try:
            return bool(self._client.search_runs([self.experiment_id], f"attributes.run_id = '{self._real(run_id)}'"))
        except StorageError:
            if not self._may_wait:
                raise
            return not run_id.startswith(LOCAL) or (self.spool / run_id).exists()

    def start(self, name: str, *, kind: str, parent: str | None = None, tags: Mapping[str, str] | None = None) -> str:
        """Open a run, unless there is one with its ``sbldm.uid``, and return its id; it names no user and no path."""
        own = {"sbldm.kind": kind, "mlflow.user": "sbldm", "mlflow.source.name": "sbldm", UID: uuid.uuid4().hex}
        own |= tags or {}
        try:
            if UID in (tags or {}) and (found := self.runs(uid=own[UID])):
                return found[0].run_id
            parents = {PARENT: self._real(parent)} if parent else {}
            created = self._client.create_run(self.experiment_id, run_name=name, tags=own | parents)
            return str(created.info.run_id)
        except StorageError:
            if not self._may_wait:
                raise
        run_id = local_id(own[UID])
        tracker = self._open(run_id)
        tracker.start(Start(name, own | ({PARENT: parent} if parent else {})))
        tracker.close()
        return run_id

    def tracker(self, run_id: str) -> MlflowTracker:
        """Return the record of a run, open for more; a run that had ended runs again."""
        tracker = self._open(run_id)
        tracker.reopen()
        return tracker

    def keep(self, run_id: str, item: LogItem) -> None:
        """Add one item to a run without opening it again."""
        tracker = self._open(run_id)
        tracker.log(item)
        tracker.close()

    def follow_move(self) -> int:
        """Find the files of a folder that was moved with its database; return how many records had to be changed."""
        former = str(self._client.get_experiment(self.experiment_id).artifact_location).rstrip("/")
        present = (self.home / "artifacts").as_uri()
        if not self._is_local or former == present or Path(unquote(urlsplit(former).path)).exists():
            return 0
        return follow_move(self.home / "mlflow.db", former, present)

    def catch_up(self) -> int:
        """Take up what processes that are gone have left for this store, and return of how many runs."""
        found = [folder for folder in self.spool.glob("*") if any(folder.glob("*.jsonl"))]
        taken = 0
        for folder in sorted(found, key=lambda folder: min(path.name for path in folder.glob("*.jsonl"))):
            tracker = self._open(folder.name)  # the oldest first: a study before its trials
            tracker.is_closed = True
            taken += tracker.waits
        return taken

    def settle(self, seconds: float) -> int:
        """Wait for what was logged to arrive, and return how many entries still wait."""
        if self._courier.waiting:
            self._courier.wake()
        self._courier.settle(seconds)
        for tracker in self._trackers:
            tracker.tidy()
        self._trackers = [tracker for tracker in self._trackers if tracker.waits]
        return self._courier.waiting

    def backlog(self, then: str) -> str:
        """Say what still waits and which command shows it once it has been told; nothing where nothing waits."""
        waiting = self.settle(0)
        return f"{waiting} entries wait for the tracking store; `sbldm sync`, then `{then}`" if waiting else ""

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
        matches = [
            run
            for run in self.runs()
            if run.run_id.startswith(prefix)
            or (prefix != LOCAL[: len(prefix)] and run.tags.get(LOCAL_ID, "").startswith(prefix))
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise RunError(f"run id {prefix!r} fits {len(matches)} runs; give more of it")
        raise RunError(f"no run with id {prefix!r}; `sbldm runs` lists what there is")

    def fetch(self, run_id: str, name: str, folder: Path) -> Path:
        """Return a local copy of an artifact."""
        try:
            return Path(self._client.download_artifacts(self._real(run_id), name, str(folder)))
        except (OSError, RunError) as error:  # a StorageError is the first
            raise RunError(f"run {run_id[:8]} holds no artifact {name} ({first_line(error)})") from error

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
        return [item.path for item in self._client.list_artifacts(self._real(run_id), folder)]

    def tag_experiment(self, name: str, value: str) -> None:
        """Say something of all runs together."""
        self._client.set_experiment_tag(self.experiment_id, name, value)

    def close_abandoned(self, run_ids: list[str]) -> None:
        """Say of runs whose process is gone how they ended: finished where all results are there, else killed."""
        for run_id in run_ids:
            self._open(run_id).abandon()

    def _open(self, run_id: str) -> MlflowTracker:
        tracker = MlflowTracker(run_id, self.spool / run_id, self._courier)
        self._trackers = [*(each for each in self._trackers if each.waits), tracker]
        return tracker

    def _real(self, run_id: str) -> str:
        return self._delivery.real_id(run_id) if run_id.startswith(LOCAL) else run_id

    def _find_experiment(self, client: Any) -> str:
        if self._experiment_id is None:
            found = client.get_experiment_by_name(EXPERIMENT)
            artifacts = (self.home / "artifacts").as_uri() if self._is_local else None
            tags = {"mlflow.experimentKind": "custom_model_development"}
            self._experiment_id = str(
                found.experiment_id if found else client.create_experiment(EXPERIMENT, artifacts, tags)
            )
        return self._experiment_id


def _to_record(run: Any) -> RunRecord:
    data, info = run.data, run.info
    return RunRecord(
        info.run_id, info.run_name or "", info.status, dict(data.params), dict(data.metrics), dict(data.tags)
    )
