"""A real MLflow server on the loopback address, which can be away, fail, or take its time."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import BaseWSGIServer, make_server


@dataclass
class Server:
    """MLflow's own application; ``mood`` says what becomes of a request."""

    application: Any
    mood: str = "well"
    delay: float = 0.0
    asked: int = 0
    port: int = 0
    _server: BaseWSGIServer | None = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.asked += 1
        time.sleep(self.delay)
        if self.mood == "failing":
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"out of order"]
        return self.application(environ, start_response)  # type: ignore[no-any-return]

    def open(self) -> None:
        self._server = make_server("127.0.0.1", self.port, self, threaded=True)
        self.port = self._server.port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One server's application for all tests of a file, since it takes seconds: give each run a name of its own."""
    folder = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{folder / 'server.db'}")
        patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", (folder / "artifacts").as_uri())
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        patch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        from mlflow.server import app

        yield app


@pytest.fixture
def server(application: Any) -> Iterator[Server]:
    server = Server(application)
    server.open()
    yield server
    server.close()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"
