"""MLflow's own pages, on this machine alone."""

import os
import subprocess
import sys

from search.tracking.mlflow_store import MlflowStore


def serve(store: MlflowStore, port: int) -> None:
    """Run MLflow's own pages on this machine's loopback address until interrupted."""
    options = ["--backend-store-uri", store.uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    subprocess.run([sys.executable, "-m", "mlflow", "ui", *options], check=False, env=environment)  # noqa: S603
