"""Named numbers that describe each slice: from a CSV file of the user's, or from what a source knows."""

import csv
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sbldm.data.sources.files import read_file
from sbldm.errors import DataError
from sbldm.files import sha256
from sbldm.spec import digest_of

PLACE_TOLERANCE = 1e-3  # a slice's position in [-1, 1] may be rounded to three decimals
LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True, eq=False)
class Conditions:
    """Numbers per slice in their own units; NaN where one is missing."""

    names: tuple[str, ...]
    values: Float[Tensor, "n k"]

    def __post_init__(self) -> None:
        """Refuse names that do not fit the columns, and infinite numbers."""
        if not self.names or len(set(self.names)) < len(self.names) or len(self.names) != self.values.shape[1]:
            raise DataError(
                f"conditions need one name per column, none twice, but got {list(self.names)}"
                f" for {self.values.shape[1]} columns"
            )
        if bool(self.values.isinf().any()):
            raise DataError("conditions must be finite or missing, but some are infinite")

    def __len__(self) -> int:
        return len(self.values)

    def digest(self) -> str:
        """Return 16 hex digits of names and numbers."""
        content = hashlib.sha256(self.values.contiguous().numpy().tobytes()).hexdigest()
        return digest_of([list(self.names), content])

    def select(self, index: Int64[Tensor, " m"] | Bool[Tensor, " n"] | slice) -> "Conditions":
        """Return the rows at these places."""
        return Conditions(self.names, self.values[index])


@dataclass(frozen=True, eq=False)
class ConditionTable:
    """What a CSV file says of each patient: rows of (slice position or None, numbers)."""

    names: tuple[str, ...]
    rows: dict[str, tuple[tuple[float | None, tuple[float, ...]], ...]]

    def check_patients(self, ids: Sequence[str]) -> None:
        """Refuse patients without a row; the message counts them and names none."""
        absent = sum(id_ not in self.rows for id_ in ids)
        if absent:
            raise DataError(
                f"data.conditions must have a row for each of the {len(ids)} patients, but {absent} have none;"
                " add their rows (an empty cell is a missing number)"
            )

    def of_slices(self, patient: str, positions: Float[Tensor, " n"]) -> Float[Tensor, "n k"]:
        """Return the numbers of a patient's slices at these positions."""
        rows = self.rows[patient]
        values = torch.tensor([numbers for _, numbers in rows], dtype=torch.float32)
        if rows[0][0] is None:
            return values.expand(len(positions), -1).clone()
        places = torch.tensor([place for place, _ in rows], dtype=torch.float64)
        gaps, nearest = (positions.double()[:, None] - places).abs().min(1)
        absent = int((gaps > PLACE_TOLERANCE).sum())
        if absent:
            raise DataError(
                f"data.conditions must have a row within {PLACE_TOLERANCE} of the position of each kept slice,"
                f" but one patient lacks {absent} of {len(positions)}; add rows or leave the column position out"
            )
        return values[nearest]


def fingerprint_conditions(path: Path) -> str:
    """Return what changes when the file changes."""
    return sha256(read_file(path, path.parent))


def read_conditions(path: Path) -> ConditionTable:
    """Return a CSV file whose first column is ``patient``, perhaps then ``position``, and all others numbers.

    Raises:
        DataError: not such a file; the message names the line and the column, never a patient.
    """
    try:
        lines = list(csv.reader(read_file(path, path.parent).decode("utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: must be a CSV file in UTF-8 ({error})") from error
    header = [name.strip() for name in lines[0]] if lines else []
    leading = 2 if header[1:2] == ["position"] else 1
    _check_header(path, header, leading)
    rows: dict[str, dict[float | None, tuple[float, ...]]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DataError(f"{path}: line {number} must have {len(header)} cells, but has {len(cells)}")
        place = _place(path, number, cells[1]) if leading == 2 else None
        of_patient = rows.setdefault(cells[0].strip(), {})
        if place in of_patient:
            raise DataError(f"{path}: line {number} repeats the patient{' and position' * (leading == 2)} of another")
        named = zip(header[leading:], cells[leading:], strict=True)
        of_patient[place] = tuple(_number(path, number, name, cell) for name, cell in named)
    return ConditionTable(tuple(header[leading:]), {id_: tuple(found.items()) for id_, found in rows.items()})


def _check_header(path: Path, header: list[str], leading: int) -> None:
    names = header[leading:]
    if header[:1] != ["patient"] or not names:
        raise DataError(
            f"{path}: the first line must name the columns patient, perhaps position, and at least one number,"
            f" but has {len(header)} columns of which the first is {'' if not header else header[0]!r}"
        )
    if len(set(header)) < len(header) or not all(names) or any("=" in name for name in names):
        raise DataError(f"{path}: columns must have names of their own without '=', but got {header}")


def _place(path: Path, line: int, cell: str) -> float:
    place = _number(path, line, "position", cell)
    if not -1 <= place <= 1:
        raise DataError(f"{path}: line {line}, column position must lie in [-1, 1], but is {cell.strip()!r}")
    return place


def _number(path: Path, line: int, column: str, cell: str) -> float:
    """Return the number of a cell; NaN where it is empty."""
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:  # NaN is not
        raise DataError(f"{path}: line {line}, column {column} must be a finite number, but is {cell.strip()!r}")
    return value
