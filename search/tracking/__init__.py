"""The record of runs: a stream of small items, and the one class that takes them to MLflow."""

from search.tracking.delivery import MEASURED
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
from search.tracking.pages import serve, show_studies, show_study
from search.tracking.saved_view import CELL

__all__ = [
    "CELL",
    "MEASURED",
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
    "show_studies",
    "show_study",
]
