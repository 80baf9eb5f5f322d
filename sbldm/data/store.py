"""Prepared data on disk: tensors and a sealed description, checked when read."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from sbldm.data.slices import PreparedData, SliceSet
from sbldm.data.split import PARTS
from sbldm.errors import RunError
from sbldm.files import atomic_write, read_json, sha256, write_json

FIELDS = ("images", "labels", "subjects", "positions")


def save_prepared(directory: Path, data: PreparedData) -> None:
    """Write the data; ``data.json``, written last, names the tensors by their hash."""
    tensors = {f"{part}.{name}": getattr(getattr(data, part), name).contiguous() for part in PARTS for name in FIELDS}
    content = save(tensors)
    atomic_write(directory / "data.safetensors", content)
    write_json(directory / "data.json", {"sha256": sha256(content)} | data.summary())


def load_prepared(directory: Path) -> PreparedData:
    """Return data that ``save_prepared`` wrote.

    Raises:
        RunError: missing or altered.
    """
    about = read_json(directory / "data.json")
    path = directory / "data.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    if sha256(content) != about.get("sha256"):
        raise RunError(f"{path}: altered or truncated since it was written (its sha256 differs)")
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise RunError(f"{path}: not readable as safetensors ({error})") from error
    names = tuple(about["label_names"])
    parts = {p: SliceSet(**{name: tensors[f"{p}.{name}"] for name in FIELDS}, label_names=names) for p in PARTS}
    return PreparedData(**parts, split_digest=str(about["split_digest"]))
