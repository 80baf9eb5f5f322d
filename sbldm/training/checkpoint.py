"""Checkpoints on disk: two whole generations, each with its own hash; ``LATEST.json`` is written last."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sbldm.errors import RunError
from sbldm.files import atomic_write, read_json, sha256, write_json
from sbldm.nn.sealed import read_sealed, write_sealed
from sbldm.nn.weights import from_bytes, to_bytes

FORMAT = 1
GENERATIONS = 2
LATEST = "LATEST.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that a training stage needs to go on after a step."""

    step: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


@dataclass(frozen=True)
class CheckpointStore:
    """A directory of ``step-N.safetensors``, each with ``step-N.json`` that holds its hash and settings."""

    directory: Path

    def commit(self, step: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Write a checkpoint; until ``LATEST.json`` names it, the one before it counts.

        Raises:
            ResourceError: the volume is full or not writable; the checkpoints already there are untouched.
        """
        content = to_bytes(tensors)
        entry = {"format": FORMAT, "step": step, "sha256": sha256(content), "bytes": len(content), "meta": dict(meta)}
        atomic_write(self._weights(step), content)
        write_sealed(self._entry(step), entry)
        write_json(self.directory / LATEST, {"format": FORMAT, "step": step, "sha256": entry["sha256"]})
        self._sweep(step)

    def latest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint, or None if none was ever committed.

        A damaged one is passed over with a warning for the one before it.

        Raises:
            RunError: there are checkpoints, but none is whole.
        """
        steps = self._steps()
        reasons: list[str] = []
        for step in self._in_order(steps):
            try:
                return self._read(step)
            except RunError as error:
                reasons.append(str(error))
                logger.warning("skipping a damaged checkpoint: %s", error)
        if reasons or (self.directory / LATEST).exists():
            raise RunError(
                f"{self.directory}: no checkpoint is whole ({reasons[0] if reasons else 'files are missing'})"
            )
        return None

    def _in_order(self, steps: list[int]) -> list[int]:
        """Return newest first, but what was never named by ``LATEST.json`` last."""
        try:
            named = int(read_json(self.directory / LATEST)["step"])
        except (RunError, KeyError, TypeError, ValueError) as error:
            if steps:
                logger.warning("%s names no checkpoint (%s)", self.directory / LATEST, error)
            return steps
        return sorted(steps, key=lambda step: (step > named, -step))

    def _read(self, step: int) -> Checkpoint:
        entry = read_sealed(self._entry(step), FORMAT)
        if entry["step"] != step:
            raise RunError(f"{self._entry(step)}: describes step {entry['step']}")
        path = self._weights(step)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
        if len(content) != entry["bytes"] or sha256(content) != entry["sha256"]:
            raise RunError(f"{path}: altered or truncated since it was written (its sha256 differs)")
        return Checkpoint(step, from_bytes(content, path.name), entry["meta"])

    def _sweep(self, step: int) -> None:
        """Remove what is neither this checkpoint nor the one before it, and files a crash left half written."""
        earlier = [other for other in self._steps() if other < step]
        kept = {step, *earlier[: GENERATIONS - 1]}
        for old in set(self._steps()) - kept:
            self._entry(old).unlink(missing_ok=True)
        for path in self.directory.glob("step-*.safetensors"):
            if not path.with_suffix(".json").exists():
                path.unlink(missing_ok=True)
        for path in self.directory.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def _steps(self) -> list[int]:
        """Return the steps that have an entry, newest first."""
        names = [path.stem.removeprefix("step-") for path in self.directory.glob("step-*.json")]
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def _weights(self, step: int) -> Path:
        return self.directory / f"step-{step:09d}.safetensors"

    def _entry(self, step: int) -> Path:
        return self.directory / f"step-{step:09d}.json"
