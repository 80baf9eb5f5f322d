"""What each test patient contributes to a study's metric, from the features that its runs have kept."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from evaluation import FeatureSet, read_features
from evaluation.compare import STATISTICS
from sbldm.errors import RunError
from search.replicates import Reference
from search.tracking import MlflowStore, RunRecord

FOLDER = "features"


def read_reference(
    cells: Mapping[str, Sequence[RunRecord]], metric: str, extractor: str, store: MlflowStore
) -> Reference | None:
    """Return the influence of every real slice by setting and seed; None where runs kept no features of one reference.

    Args:
        cells: finished runs by setting, each tagged with its seed.
        metric: name without its extractor; one that has no influence here gives None.
        extractor: whose features.
        store: where the runs are tracked.
    """
    if metric not in STATISTICS:
        return None
    shared: FeatureSet | None = None
    influence: dict[str, dict[str, Float64[np.ndarray, " n"]]] = {}
    for label, run in ((label, run) for label, runs in cells.items() for run in runs):
        kept = _read(run.run_id, extractor, store)
        if kept is None:
            return None
        real, generated = kept
        shared = real if shared is None else shared
        if not (np.array_equal(shared.rows, real.rows) and np.array_equal(shared.groups, real.groups)):
            return None
        influence.setdefault(label, {})[run.tags["sbldm.seed"]] = STATISTICS[metric](real, generated).real
    return None if shared is None else Reference(influence, shared.groups)


def _read(run_id: str, extractor: str, store: MlflowStore) -> tuple[FeatureSet, FeatureSet] | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return read_features(store.fetch(run_id, f"{FOLDER}/{extractor}.npz", Path(folder)))
        except (RunError, ValueError):  # an older run kept none
            return None
