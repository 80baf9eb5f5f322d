"""The record of runs: a stream of small items, and the one class that takes them to MLflow."""

from search.tracking.items import (
    Artifact,
    Document,
    LogItem,
    MemoryTracker,
    Params,
    Picture,
    RunRecord,
    Scalar,
    Status,
    Tags,
    Tracker,
)
from search.tracking.mlflow_store import MlflowStore
from search.tracking.mlflow_tracker import MlflowTracker
from search.tracking.pages import serve

__all__ = [
    "Artifact",
    "Document",
    "LogItem",
    "MemoryTracker",
    "MlflowStore",
    "MlflowTracker",
    "Params",
    "Picture",
    "RunRecord",
    "Scalar",
    "Status",
    "Tags",
    "Tracker",
    "serve",
]
