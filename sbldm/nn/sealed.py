"""JSON that carries a digest of itself, so that no altered setting is ever believed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbldm.errors import RunError
from sbldm.files import read_json, write_json
from sbldm.spec import digest_of


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping with a format number in it, and the seal over all of it."""
    write_json(path, {**value, "seal": digest_of(dict(value))})


def read_sealed(path: Path, known_format: int) -> dict[str, Any]:
    """Return the mapping without its seal.

    Raises:
        RunError: missing, of another format, or altered.
    """
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != known_format:
        found = value.get("format") if isinstance(value, dict) else None
        raise RunError(f"{path}: format must be {known_format}, but it is {found!r}")
    seal = value.pop("seal", None)
    try:
        is_whole = digest_of(value) == seal
    except ValueError:  # a number that is not finite has no canonical form
        is_whole = False
    if not is_whole:
        raise RunError(f"{path}: altered since it was written (its seal is broken)")
    return value
