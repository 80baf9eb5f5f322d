from pathlib import Path

import pytest

from sbldm.errors import RunError
from sbldm.nn.sealed import read_sealed, write_sealed

VALUE = {"format": 1, "spec": {"gamma": 0.5, "kind": "gamma"}}


def test_what_was_sealed_is_read_back(tmp_path: Path) -> None:
    write_sealed(tmp_path / "a.json", VALUE)
    assert read_sealed(tmp_path / "a.json", 1) == VALUE


def test_no_flipped_bit_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed(path, VALUE)
    content = path.read_bytes()
    refused = 0
    for index in range(len(content)):
        damaged = bytearray(content)
        damaged[index] ^= 1 << (index % 7)
        path.write_bytes(damaged)
        try:
            assert read_sealed(path, 1) == VALUE  # blanks may change, nothing else
        except RunError:
            refused += 1
    assert refused > 0.8 * len(content)


@pytest.mark.parametrize("found", ["[]", "{}", '{"format": 2}', '{"format": "1"}', "null"])
def test_another_format_is_named(tmp_path: Path, found: str) -> None:
    (tmp_path / "a.json").write_text(found)
    with pytest.raises(RunError, match="format must be 1, but it is"):
        read_sealed(tmp_path / "a.json", 1)
