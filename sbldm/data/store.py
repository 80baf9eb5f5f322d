"""Prepared data on disk: tensors and a sealed description, checked when read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sbldm.data.conditions import Conditions
from sbldm.data.slices import PreparedData, SliceSet
from sbldm.data.split import PARTS
from sbldm.errors import DataError, RunError
from sbldm.files import atomic_write, read_json, sha256, write_json

FIELDS = ("images", "labels", "subjects", "positions")


def save_prepared(directory: Path, data: PreparedData) -> None:
    """Write the data; ``data.json``, written last, names the tensors by their hash."""
    tensors = {f"{part}.{name}": getattr(getattr(data, part), name).contiguous() for part in PARTS for name in FIELDS}
    tensors |= {f"{p}.conditions": found.values.contiguous() for p in PARTS if (found := getattr(data, p).conditions)}
    apart = {f"{part}.spacing_mm": getattr(data, part).spacing_mm for part in PARTS}
    tensors |= {name: spacing.contiguous() for name, spacing in apart.items() if spacing is not None}
    content = save(tensors)
    atomic_write(directory / "data.safetensors", content)
    write_json(directory / "data.json", {"sha256": sha256(content)} | data.summary())


def load_prepared(directory: Path) -> PreparedData:
    """Return data that ``save_prepared`` wrote.

    Raises:
        RunError: missing or altered.
    """
    about, path = read_json(directory / "data.json"), directory / "data.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    if not isinstance(about, dict) or about.get("sha256") != sha256(content):
        raise RunError(f"{path}: altered or truncated since it was written (its sha256 differs from data.json)")
    try:
        data = _assemble(load(content), about)
    except (SafetensorError, DataError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: does not hold what data.json says ({error}); prepare the data again") from error
    if data.digest != about.get("digest"):
        raise RunError(f"{directory / 'data.json'}: altered since it was written (the digest differs)")
    return data


def _assemble(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> PreparedData:
    parts = {part: _assemble_part(part, tensors, about) for part in PARTS}
    return PreparedData(**parts, split_digest=str(about["split_digest"]))


def _assemble_part(part: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> SliceSet:
    names = tuple(about.get("condition_names", ()))
    return SliceSet(
        **{name: tensors[f"{part}.{name}"] for name in FIELDS},
        label_names=tuple(about["label_names"]),
        conditions=Conditions(names, tensors[f"{part}.conditions"]) if names else None,
        spacing_mm=tensors.get(f"{part}.spacing_mm"),
    )
