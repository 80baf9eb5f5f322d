"""What people call their data: a kind of source, or a folder whose files say what they are."""

from pathlib import Path
from typing import Any

from sbldm.data import SOURCES
from sbldm.errors import DataError
from sbldm.spec import did_you_mean

NIFTI = (".nii", ".nii.gz")


def source_changes(text: str) -> dict[str, Any]:
    """Return the settings that name this source.

    Raises:
        DataError: neither a kind of source nor a folder.
    """
    if text in SOURCES.kinds():
        return {"data.kind": text}
    folder = Path(text)
    if not folder.is_dir():
        hint = did_you_mean(text, SOURCES.kinds())
        raise DataError(f"{text}: neither a folder nor a kind of source ({', '.join(SOURCES.kinds())}){hint}")
    kind = "nifti" if any(path.name.endswith(NIFTI) for path in folder.rglob("*.nii*")) else "folder"
    return {"data": {"kind": kind, "root": folder.resolve()}}
