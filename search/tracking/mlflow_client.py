"""MLflow's client, whose failures are ours, and which is left alone for a while when it has failed."""

import logging
import os
import time
from dataclasses import dataclass
from typing import Any

from sbldm.errors import RunError, StorageError
from search.redaction import explain

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read once, at import
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

QUIET = {
    "mlflow": logging.WARNING,
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,  # it prints the trace of what it raises
    "urllib3.connectionpool": logging.ERROR,  # and it every attempt
}
NEVER_TAKEN = {
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
READING_FILES = {"download_artifacts", "list_artifacts"}
SHARE = 1 / 30  # of the time, two seconds in each minute, may go to waiting for a store that fails
SHORTEST_REST, LONGEST_REST = 5.0, 600.0


@dataclass
class Rest:
    """Until when a store that has failed is left alone: the longer it kept us waiting, the longer."""

    _until: float = 0.0
    seconds: float = SHORTEST_REST

    def begin(self, waited: float) -> None:
        """Leave the store alone after a call that failed within so many seconds."""
        self.seconds = min(LONGEST_REST, max(SHORTEST_REST, waited / SHARE))
        self._until = time.monotonic() + self.seconds

    def end(self) -> None:
        """Call again."""
        self._until = 0.0

    def is_over(self) -> bool:
        """Return whether the store may be called."""
        return time.monotonic() >= self._until


class Client:
    """MLflow's client.

    Args:
        uri: of the server or the database.
        rest: shared by all who call the same store.
        is_patient: call even while the store rests, as a thread may that keeps nobody waiting.
    """

    def __init__(self, uri: str, rest: Rest, *, is_patient: bool = False) -> None:
        for name, level in QUIET.items():
            logging.getLogger(name).setLevel(level)
        self.uri, self._rest, self._is_patient = uri, rest, is_patient
        try:
            self._client = connect(uri)
        except Exception as error:
            raise self._failure(error) from error

    def __getattr__(self, name: str) -> Any:
        def answer(*arguments: Any, **named: Any) -> Any:
            if not self._is_patient and not self._rest.is_over():
                raise StorageError(f"{explain('the tracking store', TimeoutError('it failed just now'), self.uri)}")
            begun = time.monotonic()
            try:
                found = getattr(self._client, name)(*arguments, **named)
            except Exception as error:  # sqlalchemy has a family of its own
                if is_final(error):
                    raise RunError(f"the tracking store refuses to {name} ({first_line(error)})") from error
                if name not in READING_FILES:  # which may be missing
                    self._rest.begin(time.monotonic() - begun)
                raise self._failure(error) from error
            self._rest.end()
            return found

        return answer

    def _failure(self, error: Exception) -> StorageError:
        return StorageError(explain("the tracking store", Exception(first_line(error)), self.uri))


def connect(uri: str) -> Any:
    """Return the library's own client, which has not called yet."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def is_final(error: Exception) -> bool:
    """Return whether the store has understood and will never do it."""
    missing = FileNotFoundError, IsADirectoryError, TypeError, ValueError
    return isinstance(error, missing) or getattr(error, "error_code", None) in NEVER_TAKEN


def first_line(error: BaseException) -> str:
    """Return what an error says, without the trace that some carry in their words."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
