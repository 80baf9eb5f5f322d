"""What was saved comes back, and what was altered does not."""

import json
from pathlib import Path

import pytest

from sbldm.data import PhantomSpec, PreparedData, PrepareSpec, SplitSpec, load_prepared, prepare_data, save_prepared
from sbldm.errors import RunError


@pytest.fixture(scope="module")
def data() -> PreparedData:
    source = PhantomSpec(patients=4, slices=2, size=16)
    return prepare_data(source, prepare=PrepareSpec(size=16), split=SplitSpec())


def test_saved_data_come_back_to_the_bit(data: PreparedData, tmp_path: Path) -> None:
    save_prepared(tmp_path / "new", data)
    again = load_prepared(tmp_path / "new")
    assert again.digest == data.digest
    assert again.summary() == data.summary()
    assert again.train.images.equal(data.train.images)
    assert again.test.spacing_mm.equal(data.test.spacing_mm)


def test_no_patient_is_named_on_the_disk(data: PreparedData, tmp_path: Path) -> None:
    save_prepared(tmp_path, data)
    assert not any(b"phantom-" in path.read_bytes() for path in tmp_path.iterdir())


def test_any_flipped_or_missing_byte_is_noticed(data: PreparedData, tmp_path: Path) -> None:
    save_prepared(tmp_path, data)
    path = tmp_path / "data.safetensors"
    content = path.read_bytes()
    for place in range(0, len(content), 997):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(RunError, match="altered or truncated"):
            load_prepared(tmp_path)
    path.write_bytes(content[:-1])
    with pytest.raises(RunError, match="altered or truncated"):
        load_prepared(tmp_path)


def test_an_unfinished_or_foreign_folder_is_refused(data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        load_prepared(tmp_path)
    save_prepared(tmp_path, data)
    about = tmp_path / "data.json"
    for text in ("", "[]", "{}", json.dumps({"sha256": "0"}), "\x00"):
        about.write_text(text)
        with pytest.raises(RunError):
            load_prepared(tmp_path)
    save_prepared(tmp_path, data)
    described = json.loads(about.read_text())
    (tmp_path / "data.safetensors").unlink()
    with pytest.raises(RunError, match=r"data\.safetensors"):
        load_prepared(tmp_path)
    save_prepared(tmp_path, data)
    for key in ("label_names", "split_digest"):
        about.write_text(json.dumps({name: value for name, value in described.items() if name != key}))
        with pytest.raises(RunError):
            load_prepared(tmp_path)
    about.write_text(json.dumps(described | {"label_names": ["other", "names", "here"]}))
    with pytest.raises(RunError):
        load_prepared(tmp_path)
