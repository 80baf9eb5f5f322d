"""Weights files: found, known by their SHA-256, and read as tensors only, before any other code sees them."""

import hashlib
import pickle
import warnings
import zipfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SHOWN = 12  # digits of a SHA-256 that name a file


def require_file(weights: Path | None, *, extractor: str, file: str) -> Path:
    """Return the path of a file that exists; where it does not, say which one to fetch and which setting names it."""
    if weights is None or not weights.is_file():
        raise ValueError(f"{extractor} needs a local {file}; name it in evaluation.weights, but got {weights=}")
    return weights


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file; an unchanged file is read once."""
    found = path.stat()
    return _digest(path, found.st_mtime_ns, found.st_size)


def check_digest(path: Path, pinned: str) -> str:
    """Return the SHA-256 of a file that begins with the pinned digits; refuse any other."""
    found = file_digest(path)
    if not found.startswith(pinned):
        raise ValueError(f"{path.name} must have SHA-256 {pinned}, but has {found[: len(pinned)]}; fetch it again")
    return found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a state dict, from safetensors or from torch's format, where only tensors are unpickled."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path.name} must hold tensors as safetensors, but reading it failed") from error
    if _is_script(path):
        raise ValueError(
            f"{path.name} must hold tensors, but is a TorchScript archive, which is code; "
            "supply its state dict as safetensors"
        )
    return _read_pickle(path)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            state = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path.name} must hold a state dict of tensors alone, but reading it failed") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path.name} must hold a flat state dict of tensors, but holds a {type(state).__name__}")
    return dict(state)


def _is_script(path: Path) -> bool:
    """Say whether this is a TorchScript archive, which alone carries `constants.pkl`."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


@cache
def _digest(path: Path, modified_ns: int, size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
