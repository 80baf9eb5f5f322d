"""Entries on their way into MLflow: told once or many times, they leave the same record."""

import hashlib
import io
import re
from collections.abc import Callable
from typing import Any

from sbldm.errors import StorageError
from search.tracking.entries import Abandon, Entry, Finish, Reopen, Start
from search.tracking.items import Artifact, Document, Params, Picture, Scalar, Tags

LONGEST_PARAM = 500
LOCAL = "local"
UID, LOCAL_ID, PARENT = "sbldm.uid", "sbldm.local", "mlflow.parentRunId"
MEASURED = "sbldm.measured"


def local_id(uid: str) -> str:
    """Return what a run is called until its store has given it an id; no id of MLflow begins so."""
    return LOCAL + hashlib.sha256(uid.encode()).hexdigest()[: 32 - len(LOCAL)]


class Delivery:
    """Tell MLflow entries of one run.

    Args:
        client: of MLflow.
        experiment: gives the id of the experiment where new runs belong.
    """

    def __init__(self, client: Any, experiment: Callable[[], str]) -> None:
        self._client, self._experiment = client, experiment
        self._ids: dict[str, str] = {}
        self._told: dict[tuple[str, str], dict[int, tuple[int, float]]] = {}

    def __call__(self, entries: list[Entry]) -> None:
        """Deliver numbers of one run together, or one other entry."""
        first = entries[0]
        if isinstance(first.what, Start):
            self._start(first, first.what)
            return
        run_id = self.real_id(first.run_id)
        if isinstance(first.what, Scalar):
            self._log_numbers(run_id, [(entry.at, entry.what) for entry in entries if isinstance(entry.what, Scalar)])
        elif isinstance(first.what, Reopen | Finish):
            self._set_status(run_id, first.at, first.what)
        elif isinstance(first.what, Abandon):
            self._close(run_id, first.at)
        else:
            self._log(run_id, first)

    def real_id(self, run_id: str) -> str:
        """Return the store's own id of a run.

        Raises:
            StorageError: the run was begun while the store did not answer, and the store has not been told yet.
        """
        if not run_id.startswith(LOCAL):
            return run_id
        if run_id not in self._ids:
            found = self._search(LOCAL_ID, run_id)
            if not found:
                raise StorageError(f"run {run_id[:12]} is not in the tracking store yet")
            self._ids[run_id] = found
        return self._ids[run_id]

    def _start(self, entry: Entry, start: Start) -> None:
        """Open the run, unless it is there: a call may succeed whose answer is lost."""
        found = self._search(UID, start.tags[UID])
        if not found:
            tags = dict(start.tags)
            if PARENT in tags:
                tags[PARENT] = self.real_id(tags[PARENT])
            created = self._client.create_run(self._experiment(), entry.at, tags, start.name)
            found = str(created.info.run_id)
        self._client.set_tag(found, LOCAL_ID, entry.run_id)
        self._ids[entry.run_id] = found

    def _search(self, tag: str, value: str) -> str:
        found = self._client.search_runs([self._experiment()], f"tags.`{tag}` = '{value}'")
        return str(found[0].info.run_id) if found else ""

    def _set_status(self, run_id: str, at: int, what: Reopen | Finish) -> None:
        """Say that a run goes on or has ended, unless something later is known of it."""
        info = self._client.get_run(run_id).info
        if (info.end_time or 0) > at:
            return
        if isinstance(what, Finish):
            self._client.set_terminated(run_id, what.status, at)
            self._told = {key: steps for key, steps in self._told.items() if key[0] != run_id}
        elif info.status != "RUNNING":
            self._client.update_run(run_id, status="RUNNING")

    def _close(self, run_id: str, at: int) -> None:
        run = self._client.get_run(run_id)
        if run.info.status == "RUNNING":
            self._client.set_terminated(run_id, "FINISHED" if MEASURED in run.data.tags else "KILLED", at)

    def _log(self, run_id: str, entry: Entry) -> None:
        item = entry.what
        if isinstance(item, Params):
            self._log_params(run_id, item)
        elif isinstance(item, Tags):
            for key, value in item.values.items():
                self._client.set_tag(run_id, key, value)
        elif isinstance(item, Picture):
            self._log_picture(run_id, entry.at, item)
        elif isinstance(item, Document):
            self._client.log_dict(run_id, dict(item.value), item.name)
        elif isinstance(item, Artifact):
            self._client.log_artifact(run_id, str(item.path), item.folder or None)

    def _log_numbers(self, run_id: str, numbers: list[tuple[int, Scalar]]) -> None:
        from mlflow.entities import Metric

        news = [Metric(item.name, item.value, at, item.step) for at, item in numbers if self._is_news(run_id, at, item)]
        if news:
            self._client.log_batch(run_id, metrics=news)
        for each in news:
            self._steps(run_id, each.key)[each.step] = (each.timestamp, each.value)

    def _is_news(self, run_id: str, at: int, item: Scalar) -> bool:
        """Return whether the run's latest word on this step is another: a resumed training repeats some steps."""
        known = self._steps(run_id, item.name).get(item.step)
        return known is None or (known[0] <= at and known[1] != item.value)

    def _steps(self, run_id: str, name: str) -> dict[int, tuple[int, float]]:
        if (run_id, name) not in self._told:
            history = self._client.get_metric_history(run_id, name)
            self._told[run_id, name] = {
                each.step: (each.timestamp, each.value) for each in sorted(history, key=lambda each: each.timestamp)
            }
        return self._told[run_id, name]

    def _log_params(self, run_id: str, item: Params) -> None:
        from mlflow.entities import Param

        known = self._client.get_run(run_id).data.params
        short = {key: text for key, text in item.values.items() if key not in known and 0 < len(text) <= LONGEST_PARAM}
        params = [Param(key, text) for key, text in short.items()]
        for start in range(0, len(params), 100):
            self._client.log_batch(run_id, params=params[start : start + 100])

    def _log_picture(self, run_id: str, at: int, item: Picture) -> None:
        from PIL import Image

        shown = re.compile(rf"images/{re.escape(item.name)}[+%]step.*timestamp[+%]{at}[+%].*webp")  # the library's name
        if not any(shown.fullmatch(each.path) for each in self._client.list_artifacts(run_id, "images")):
            with Image.open(io.BytesIO(item.path.read_bytes())) as image:
                self._client.log_image(run_id, image.convert("RGB"), key=item.name, step=0, timestamp=at)
        self._client.log_artifact(run_id, str(item.path), "pictures")
