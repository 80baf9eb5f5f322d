"""A CSV of numbers becomes one row per slice, or is refused in one line that names no patient."""

import math
from pathlib import Path

import pytest
import torch

from sbldm.data import PhantomSpec, PreparedData, PrepareSpec, SplitSpec, load_prepared, prepare_data, save_prepared
from sbldm.data.conditions import Conditions, fingerprint_conditions, read_conditions
from sbldm.errors import DataError

PHANTOM = {"patients": 5, "slices": 3, "size": 16, "z_mm": (0.0, 20.0)}
POSITIONS = torch.tensor([-1.0, 0.0, 1.0])


def write(directory: Path, text: str) -> Path:
    path = directory / "numbers.csv"
    path.write_text(text)
    return path


def prepare(**settings: object) -> PreparedData:
    source = PhantomSpec.model_validate(PHANTOM | settings)
    return prepare_data(source, prepare=PrepareSpec(size=16), split=SplitSpec())


def test_a_row_per_patient_serves_all_slices_and_an_empty_cell_is_missing(tmp_path: Path) -> None:
    table = read_conditions(write(tmp_path, "patient,age,dose\nann,61,\nbob, 40.5 ,2e-3\n"))
    assert table.names == ("age", "dose")
    expected = torch.tensor([[61.0, math.nan]] * 3)
    torch.testing.assert_close(table.of_slices("ann", POSITIONS), expected, equal_nan=True)
    torch.testing.assert_close(table.of_slices("bob", POSITIONS[:1]), torch.tensor([[40.5, 2e-3]]))


def test_rows_with_positions_go_to_the_slice_at_that_place(tmp_path: Path) -> None:
    table = read_conditions(write(tmp_path, "patient,position,area\nann,1,30\nann,-1,10\nann,0.0004,20\n"))
    assert table.of_slices("ann", POSITIONS).flatten().tolist() == [10, 20, 30]
    with pytest.raises(DataError, match=r"one patient lacks 1 of 4"):
        table.of_slices("ann", torch.tensor([-1.0, 0.0, 0.5, 1.0]))


@pytest.mark.parametrize(
    "text, message",
    [
        ("patient,age\nann,old\n", "line 2, column age must be a finite number, but is 'old'"),
        ("patient,age\nann,1\nbob,nan\n", "line 3, column age must be a finite number, but is 'nan'"),
        ("patient,age\nann,1e39\n", "line 2, column age must be a finite number"),
        ("patient,age\nann,1,2\n", "line 2 must have 2 cells, but has 3"),
        ("patient,age\nann,1\n\nann,2\n", "line 4 repeats the patient of another"),
        ("patient,position,age\nann,0,1\nann,0,2\n", "line 3 repeats the patient and position of another"),
        ("patient,position,age\nann,1.5,1\n", r"column position must lie in \[-1, 1\], but is '1.5'"),
        ("patient,position,age\nann,,1\n", r"column position must lie in \[-1, 1\], but is ''"),
        ("id,age\nann,1\n", "the first line must name the columns patient"),
        ("patient\nann\n", "at least one number"),
        ("patient,age,age\nann,1,2\n", "names of their own without '='"),
        ("patient,a=b\nann,1\n", "names of their own without '='"),
        ('patient,age\n"ann,1\n', "must be a CSV file in UTF-8"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_by_line_and_column_without_a_name(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        read_conditions(write(tmp_path, text))
    assert "\n" not in str(refusal.value)
    assert "ann" not in str(refusal.value)


def test_patients_without_a_row_are_counted_and_not_named(tmp_path: Path) -> None:
    path = write(tmp_path, "patient,age\nphantom-00001,3\nphantom-00003,4\n")
    with pytest.raises(DataError, match="each of the 5 patients, but 3 have none") as refusal:
        prepare(conditions=path)
    assert "phantom" not in str(refusal.value)


def test_prepared_slices_carry_their_own_patients_numbers_and_no_name(tmp_path: Path) -> None:
    rows = "".join(f"phantom-0000{index},{10 * index}\n" for index in range(5))
    data = prepare(conditions=write(tmp_path, f"patient,age\n{rows}"))
    found = {age for part in (data.train, data.validation, data.test) for age in _ages(part.conditions)}
    assert found == {0.0, 10.0, 20.0, 30.0, 40.0}
    for part in (data.train, data.validation, data.test):
        assert len(set(zip(part.subjects.tolist(), _ages(part.conditions), strict=True))) == len(
            set(part.subjects.tolist())
        )
    save_prepared(tmp_path / "saved", data)
    assert all(b"phantom" not in path.read_bytes() for path in (tmp_path / "saved").iterdir())
    again = load_prepared(tmp_path / "saved")
    assert again.digest == data.digest
    assert again.test.condition_names == ("age",)


def test_an_image_keeps_the_numbers_of_its_patient_through_the_split(tmp_path: Path) -> None:
    """The same phantoms prepared without conditions: the slice that looks alike is the patient's own."""
    rows = "".join(f"phantom-0000{index},{index}\n" for index in range(5))
    data = prepare(conditions=write(tmp_path, f"patient,who\n{rows}"))
    plain = prepare()
    assert torch.equal(data.train.images, plain.train.images)
    source = PhantomSpec.model_validate(PHANTOM)
    for row in range(len(data.train)):
        who = int(_ages(data.train.conditions)[row])
        volume = source.read(source.subjects()[who])
        z = int((volume.position - data.train.positions[row]).abs().argmin())
        assert volume.labels is not None
        assert torch.equal(volume.labels[z], data.train.labels[row])


def test_missing_numbers_survive_the_disk_and_count_in_the_digest(tmp_path: Path) -> None:
    rows = "".join(f"phantom-0000{index},{'' if index % 2 else index}\n" for index in range(5))
    data = prepare(conditions=write(tmp_path, f"patient,age\n{rows}"))
    assert data.train.conditions is not None
    assert bool(data.train.conditions.values.isnan().any())
    save_prepared(tmp_path / "saved", data)
    again = load_prepared(tmp_path / "saved").train.conditions
    assert again is not None
    torch.testing.assert_close(again.values, data.train.conditions.values, equal_nan=True)
    assert data.digest != prepare().digest
    assert data.train.without_conditions().digest() == prepare().train.digest()


def test_the_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    one = fingerprint_conditions(write(tmp_path, "patient,age\na,1\n"))
    assert one != fingerprint_conditions(write(tmp_path, "patient,age\na,2\n"))


def test_numbers_and_names_that_disagree_are_refused() -> None:
    for names, values in ((("a",), torch.zeros(2, 2)), (("a", "a"), torch.zeros(2, 2)), ((), torch.zeros(2, 0))):
        with pytest.raises(DataError, match="one name per column"):
            Conditions(names, values)
    with pytest.raises(DataError, match="finite or missing"):
        Conditions(("a",), torch.tensor([[math.inf]]))


def _ages(conditions: Conditions | None) -> list[float]:
    assert conditions is not None
    return [float(age) for age in conditions.values.flatten()]
