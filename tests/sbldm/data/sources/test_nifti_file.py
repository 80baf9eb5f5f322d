"""What a damaged or hostile NIfTI file comes to: a right volume or one line, never a traceback or a flood."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbldm.data.sources.nifti_file import Grid, read_volume
from sbldm.errors import DataError

VALUES = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, INTERCEPT, QFORM, SFORM, SROW = 40, 70, 76, 108, 112, 116, 252, 254, 280


def whole(values: np.ndarray = VALUES, affine: np.ndarray | None = None) -> bytes:
    return nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine).to_bytes()


def patched(offset: int, layout: str, *values: float, content: bytes | None = None) -> bytes:
    changed = bytearray(content or whole())
    struct.pack_into("<" + layout, changed, offset, *values)
    return bytes(changed)


def read(folder: Path, content: bytes, volume: int | None = None) -> Grid:
    path = folder / "x.nii"
    path.write_bytes(content)
    return read_volume(path, folder, volume)


@pytest.mark.parametrize("kind", ["u1", "i1", "<i2", ">i2", "<u4", "<i8", "<f4", ">f8"])
@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_it_agrees_with_nibabel_for_every_number_type_and_byte_order(kind: str, image: type, tmp_path: Path) -> None:
    header = image.header_class(endianness=">" if kind.startswith(">") else "<")
    header.set_data_dtype(kind)
    affine = np.array([[0, -2, 0, 5], [1.5, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    content = image(VALUES.astype(kind), affine, header).to_bytes()
    for packed in (content, gzip.compress(content)):
        grid = read(tmp_path, packed)
        np.testing.assert_array_equal(grid.values, image.from_bytes(content).get_fdata())
        np.testing.assert_allclose(grid.affine, affine, atol=1e-5)  # stored as float32 or as a quaternion
        canonical = nibabel.as_closest_canonical(image.from_bytes(content))
        np.testing.assert_array_equal(grid.canonical().values, canonical.get_fdata())
        np.testing.assert_allclose(grid.canonical().affine, canonical.affine, atol=1e-5)


def test_values_are_scaled_as_the_header_says_and_slope_zero_means_not(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path, patched(SLOPE, "2f", 0.5, -3)).values, VALUES * 0.5 - 3)
    np.testing.assert_array_equal(read(tmp_path, patched(SLOPE, "2f", 0, -3)).values, VALUES)


def test_of_a_series_the_asked_volume_is_read(tmp_path: Path) -> None:
    series = np.stack([VALUES, VALUES + 100], axis=-1)
    np.testing.assert_array_equal(read(tmp_path, whole(series), volume=1).values, VALUES + 100)
    np.testing.assert_array_equal(read(tmp_path, whole(VALUES[..., None, None])).values, VALUES)
    with pytest.raises(DataError, match=r"holds 2 volumes; set data\.volume"):
        read(tmp_path, whole(series))
    with pytest.raises(DataError, match="must be below 2, but got 2"):
        read(tmp_path, whole(series), volume=2)


HOSTILE = {
    "no dimension": patched(DIM, "h", 0),
    "two dimensions": patched(DIM, "h", 2),
    "eight dimensions": patched(DIM, "h", 8),
    "five dimensions": whole(np.zeros((2, 2, 2, 1, 3), np.int16)),
    "a negative length": patched(DIM, "4h", 3, -2, 3, 4),
    "a zero length": patched(DIM, "4h", 3, 2, 0, 4),
    "a flood of voxels": patched(DIM, "8h", 3, 32767, 32767, 32767, 1, 1, 1, 1),
    "more than there is": patched(DIM, "4h", 3, 2, 3, 5),
    "complex numbers": patched(DATATYPE, "2h", 32, 64),
    "colors": patched(DATATYPE, "2h", 128, 24),
    "128-bit floats": patched(DATATYPE, "2h", 1536, 128),
    "an unknown type": patched(DATATYPE, "2h", 999, 16),
    "slope NaN": patched(SLOPE, "f", np.nan),
    "slope infinite": patched(SLOPE, "f", np.inf),
    "intercept NaN": patched(INTERCEPT, "f", np.nan),
    "offset NaN": patched(VOX_OFFSET, "f", np.nan),
    "offset infinite": patched(VOX_OFFSET, "f", np.inf),
    "offset inside the header": patched(VOX_OFFSET, "f", 16),
    "offset past the end": patched(VOX_OFFSET, "f", 1e6),
    "a split voxel": patched(VOX_OFFSET, "f", 352.5),
    "affine NaN": patched(SROW, "f", np.nan),
    "affine infinite": patched(SROW, "f", np.inf),
    "affine flat": patched(SROW, "3f", 0, 0, 0),
    "voxels of no size": patched(QFORM, "2h", 0, 0, content=patched(PIXDIM, "4f", 1, 0, 1, 1)),
    "a header in two files": whole().replace(b"n+1\0", b"ni1\0"),
    "text": b"<html>not found</html>" * 40,
    "a short text": b"n+1",
    "gzip of text": gzip.compress(b"hello" * 200),
    "gzip of nothing": gzip.compress(b""),
    "gzip cut in its header": gzip.compress(whole())[:5],
    "gzip with garbage after": gzip.compress(whole()) + b"garbage",
    "a gzip bomb": gzip.compress(whole() + bytes(20_000_000)),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_one_line_that_names_it(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.nii: ") as refusal:
        read(tmp_path, content)
    assert "\n" not in str(refusal.value)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", ["a flood of voxels", "a gzip bomb"])
def test_a_bomb_is_refused_without_the_memory_it_asks_for(what: str, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"must unpack to at most|more than the"):
            read(tmp_path, HOSTILE[what])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000  # of 70 TB, and of 20 MB
    finally:
        tracemalloc.stop()


def test_truncation_is_noticed_wherever_it_falls(tmp_path: Path) -> None:
    plain, packed = whole(), gzip.compress(whole())
    for content in (plain, packed):
        for end in {1, 4, 100, 347, 348, 351, len(content) // 2, len(content) - 8, len(content) - 1}:
            with pytest.raises(DataError, match=r"x\.nii: "):
                read(tmp_path, content[: min(end, len(content) - 1)])


def test_a_flipped_bit_in_packed_data_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (5, 6, 7)).astype(np.int16)
    packed, refused = gzip.compress(whole(values)), 0
    for place in range(0, len(packed), 5):
        damaged = bytearray(packed)
        damaged[place] ^= 1 << place % 8
        try:
            np.testing.assert_array_equal(read(tmp_path, bytes(damaged)).values, values)
        except DataError:
            refused += 1
    assert refused > len(packed) / 5 * 0.9  # only the name and time in the gzip header may change unnoticed


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(changes=st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_header_gives_a_volume_or_a_refusal(
    changes: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(whole())
    for place, value in changes:
        content[place] = value
    folder = tmp_path_factory.mktemp("header")
    try:
        grid = read(folder, bytes(content))
    except DataError:
        return  # any other exception is a traceback for the user
    assert np.isfinite(grid.affine).all()
    assert min(grid.spacing_mm) > 0
    assert grid.canonical().values.size == grid.values.size
