"""Pictures and arrays arrive exactly, at full range; everything else is one line."""

import io
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sbldm.data.sources.files import LARGEST_FILE_BYTES
from sbldm.data.sources.pixels import read_archive, read_arrays, read_image, read_label_map, read_levels
from sbldm.errors import DataError

GREY8 = np.arange(256, dtype=np.uint8).reshape(16, 16)
GREY16 = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
quick = settings(max_examples=120, deadline=None, derandomize=True, database=None)


def picture(image: Image.Image | np.ndarray, kind: str = "PNG", **how: object) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def png(bits: int, color: int, rows: bytes, width: int, height: int) -> bytes:
    """Return a PNG by hand, of any depth and announced size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">2I5B", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def npy(header: str, content: bytes = b"") -> bytes:
    """Return an npz whose one array has this header, true or not."""
    text = header.encode().ljust(117) + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("image.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content)
    return buffer.getvalue()


def read(folder: Path, content: bytes, name: str = "x.png") -> np.ndarray:
    path = folder / name
    path.write_bytes(content)
    return read_arrays(path, folder)[0] if name.endswith(".npz") else read_image(path, folder)


@pytest.mark.parametrize("pixels", [GREY8, GREY16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_8_and_16_bits_arrives_unchanged(pixels: np.ndarray, kind: str, tmp_path: Path) -> None:
    image = read(tmp_path, picture(pixels, kind))
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, pixels)


def test_big_endian_and_compressed_tiff_arrive_unchanged(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path, picture(GREY16, "TIFF", compression="tiff_lzw")), GREY16)
    np.testing.assert_array_equal(read(tmp_path, picture(GREY8, "TIFF", compression="tiff_adobe_deflate")), GREY8)
    big = Image.frombytes("I;16B", (16, 16), GREY16.astype(">u2").tobytes())
    np.testing.assert_array_equal(read(tmp_path, picture(big, "TIFF")), GREY16)


def test_color_that_is_grey_is_grey_and_other_color_is_refused(tmp_path: Path) -> None:
    color = np.stack([GREY8] * 3, axis=-1)
    np.testing.assert_array_equal(read(tmp_path, picture(color)), GREY8)
    color[3, 4, 1] += 1
    with pytest.raises(DataError, match="red, green and blue differ"):
        read(tmp_path, picture(color))


def test_a_palette_is_labels_but_never_an_image(tmp_path: Path) -> None:
    palette = Image.fromarray(GREY8 % 4).convert("P")
    places = Image.frombytes("P", (16, 16), (GREY8 % 4).tobytes())
    places.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    with pytest.raises(DataError, match="its mode is P"):
        read(tmp_path, picture(palette))
    (tmp_path / "y.png").write_bytes(picture(places))
    np.testing.assert_array_equal(read_label_map(tmp_path / "y.png", tmp_path), GREY8 % 4)


def _pages() -> bytes:
    return picture(Image.fromarray(GREY8), "TIFF", save_all=True, append_images=[Image.fromarray(GREY8)])


HOSTILE = {
    "transparency": picture(Image.new("RGBA", (4, 4))),
    "grey with transparency": picture(Image.new("LA", (4, 4))),
    "one bit": picture(Image.new("1", (4, 4))),
    "four bits, which Pillow would stretch": png(4, 0, b"\0\x12\0\x34", 2, 2),
    "16-bit color, which Pillow would cut": png(16, 2, b"\0" + bytes(6), 1, 1),
    "float": picture(np.ones((4, 4), np.float32), "TIFF"),
    "32-bit integers": picture(np.ones((4, 4), np.int32), "TIFF"),
    "print colors": picture(Image.new("CMYK", (4, 4)), "TIFF"),
    "two pages": _pages(),
    "a JPEG": picture(Image.fromarray(GREY8), "JPEG"),
    "a bomb": png(8, 0, b"", 30_000, 30_000),
    "a larger bomb": png(8, 0, b"", 2**31 - 1, 2**31 - 1),
    "html": b"<html>not found</html>",
    "nothing but a signature": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_other_pictures_are_refused_in_one_line_that_names_them(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.png: ") as refusal:
        read(tmp_path, content)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "array",
    [np.eye(3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.zeros((2, 3, 4), bool), np.ones((2, 2), ">i2")],
)
def test_arrays_of_any_number_type_and_order_arrive_unchanged(array: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(npz(image=array, labels=array))
    image, labels = read_arrays(tmp_path / "x.npz", tmp_path)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, array)
    np.testing.assert_array_equal(labels, array)


class Trap:
    """Leaves a mark when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, image=np.array([[Trap(tmp_path / "mark")]], dtype=object))
    with pytest.raises(DataError, match="must be numbers"):
        read(tmp_path, buffer.getvalue(), "x.npz")
    assert not (tmp_path / "mark").exists()
    np.load(tmp_path / "x.npz", allow_pickle=True)["image"]
    assert (tmp_path / "mark").exists()  # the trap works: it was the refusal that kept it shut


HOSTILE_NPZ = {
    "4 TB announced": npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (1024, 1024, {2**20})}}"),
    "just over the limit": npy(f"{{'descr': '<u1', 'fortran_order': False, 'shape': (1, {LARGEST_FILE_BYTES + 1})}}"),
    "less than announced": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", bytes(15)),
    "more than announced": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", bytes(17)),
    "a negative length": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 2)}", bytes(16)),
    "code in the header": npy("__import__('os').system('true')"),
    "no header": npy("'"),
    "one dimension": npz(image=np.ones(3)),
    "four dimensions": npz(image=np.ones((1, 1, 1, 1))),
    "text": npz(image=np.array([["a", "b"]])),
    "complex numbers": npz(image=np.ones((2, 2), complex)),
    "another name": npz(picture=np.ones((2, 2))),
    "no zip": b"hello",
    "a cut zip": npz(image=np.ones((9, 9)))[:-30],
    "a squeezed flood": npz(image=np.zeros(2**27, np.uint8).reshape(2**14, 2**13))[:-10],
}


@pytest.mark.parametrize("content", HOSTILE_NPZ.values(), ids=HOSTILE_NPZ.keys())
def test_other_npz_files_are_refused_in_one_line_that_names_them(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.npz: ") as refusal:
        read(tmp_path, content, "x.npz")
    assert "\n" not in str(refusal.value)


def test_a_missing_array_is_named_with_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold an array 'image', but holds \['mask.npy', 'picture.npy'\]"):
        read(tmp_path, npz(picture=np.ones((2, 2)), mask=np.ones((2, 2))), "x.npz")


def test_an_array_that_swells_is_refused_without_the_memory(tmp_path: Path) -> None:
    buffer, small = io.BytesIO(), npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", bytes(16))
    content = zipfile.ZipFile(io.BytesIO(small)).read("image.npy") + bytes(30_000_000)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", content)
    tracemalloc.start()
    try:
        for bomb in (buffer.getvalue(), HOSTILE_NPZ["4 TB announced"]):
            with pytest.raises(DataError, match=r"must hold 16 bytes|announces 4398046511104"):
                read(tmp_path, bomb, "x.npz")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.npz"])
def test_damage_anywhere_is_refused_or_harmless_but_never_a_traceback(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (9, 9)).astype(np.uint8)
    good = npz(image=noise) if name == "x.npz" else picture(noise, "TIFF" if name == "x.tif" else "PNG")
    folder = tmp_path_factory.mktemp("damage")
    refused = []

    @quick
    @given(place=st.integers(0, len(good) - 1), value=st.integers(0, 255), end=st.integers(1, 3 * len(good)))
    def damage(place: int, value: int, end: int) -> None:
        content = bytearray(good)
        content[place] = value
        try:
            image = read(folder, bytes(content[:end]), name)
        except DataError as refusal:
            refused.append(str(refusal))
        else:
            assert np.isfinite(image).all()

    damage()
    assert len(refused) > 20
    assert not any("\n" in line for line in refused)


@pytest.mark.parametrize("levels", [GREY8, GREY16])
def test_grey_levels_keep_the_type_they_are_stored_in(levels: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture(levels))
    found = read_levels(tmp_path / "x.png", tmp_path)
    assert found.dtype == levels.dtype
    np.testing.assert_array_equal(found, levels)


def test_an_archive_gives_what_is_wanted_and_there_in_its_stored_type(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(npz(images=np.ones((2, 1, 3, 3), np.float16), groups=np.arange(2), more=np.eye(2)))
    arrays = read_archive(tmp_path / "x.npz", tmp_path, {"images": (3, 4), "groups": (1,), "labels": (3,)})
    assert {name: array.dtype for name, array in arrays.items()} == {"images": np.float16, "groups": np.int64}
    with pytest.raises(DataError, match="groups must be numbers in 2 dimensions"):
        read_archive(tmp_path / "x.npz", tmp_path, {"images": (4,), "groups": (2,)})
