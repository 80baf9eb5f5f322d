"""Which code made a number: versions and the revision, and nothing that names a person or a place."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from sbldm import __version__

PACKAGES = "torch", "numpy", "scipy", "monai", "timm", "mlflow", "optuna"


def environment() -> dict[str, str]:
    """Return versions and the code's revision; nothing that names a person or a place."""
    versions = {f"version.{name}": metadata.version(name) for name in PACKAGES}
    return {"sbldm.version": __version__, "git.revision": _revision(), "version.python": platform.python_version()} | (
        versions
    )


def _revision() -> str:
    try:
        _git(
            "ls-files", "--error-unmatch", Path(__file__).name
        )  # an installed copy may lie inside a stranger's repository
        return _git("describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*arguments: str) -> str:
    """Return what git says of this code's own folder, wherever the user stands."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()  # noqa: S603
