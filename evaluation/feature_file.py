"""Features in a file: real and generated rows, patients as numbers, the extractor's name; nothing to unpickle."""

import io
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Float64

from evaluation.types import FeatureSet, check_pair


def write_features(real: FeatureSet, generated: FeatureSet) -> bytes:
    """Return both sets as the content of an npz; rows that a float32 network made take half the space, exactly."""
    check_pair(real, generated)
    content = io.BytesIO()
    np.savez_compressed(
        content,
        real=_smallest(real.rows),
        real_groups=real.groups,
        generated=_smallest(generated.rows),
        generated_groups=generated.groups,
        extractor=np.array(real.extractor),
    )
    return content.getvalue()


def read_features(path: Path) -> tuple[FeatureSet, FeatureSet]:
    """Return what `write_features` wrote: real rows, then generated rows.

    Raises:
        ValueError: the file is not an npz of features.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            name = str(arrays["extractor"])
            real, generated = (
                FeatureSet(arrays[side].astype(np.float64), arrays[f"{side}_groups"].astype(np.int64), name)
                for side in ("real", "generated")
            )
    except (OSError, KeyError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(f"{path.name} must be an npz that write_features wrote, but: {error}") from error
    return real, generated


def _smallest(rows: Float64[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    short = rows.astype(np.float32)
    return short if np.array_equal(short.astype(np.float64), rows) else rows
