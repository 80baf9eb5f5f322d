import io
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from sbldm.errors import RunError
from sbldm.nn.weights import from_bytes, load_into, prefixed, to_bytes, under


class Payload:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_bytes_give_the_tensors_back() -> None:
    tensors = {"a": torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), "b.c": torch.tensor(7)}
    read = from_bytes(to_bytes(tensors), "file")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[key], tensors[key]) for key in tensors)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"weights": torch.ones(2)}, buffer)
    for content in (pickle.dumps(Payload(tmp_path / "mark")), buffer.getvalue()):
        with pytest.raises(RunError, match=r"^step.safetensors: .*pickle files are never opened"):
            from_bytes(content, "step.safetensors")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        (2**63).to_bytes(8, "little") + b"{}",
        (100).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        to_bytes({"a": torch.ones(100)})[:-1],
        to_bytes({"a": torch.ones(100)}) + b"x",
    ],
)
def test_content_that_is_no_safetensors_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(RunError, match=r"^file: not readable as safetensors") as caught:
        from_bytes(content, "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float) -> None:
    with pytest.raises(RunError, match=r"weights must be finite, but net\.weight is not"):
        from_bytes(to_bytes({"net.weight": torch.tensor([1.0, value])}), "file")


def test_another_architecture_is_refused_at_the_first_key_that_differs() -> None:
    layer = nn.Linear(2, 3)
    for tensors, message in (
        ({"weight": torch.ones(3, 2)}, "bias is missing from the file"),
        ({"weight": torch.ones(3, 2), "bias": torch.ones(3), "z": torch.ones(1)}, "z is unknown"),
        (
            {"weight": torch.ones(3, 3), "bias": torch.ones(3)},
            r"weight must be float32\[3, 2\], but it is float32\[3, 3\]",
        ),
        ({"weight": torch.ones(3, 2).double(), "bias": torch.ones(3)}, r"but it is float64\[3, 2\]"),
    ):
        with pytest.raises(RunError, match=message):
            load_into(layer, tensors, "file")


def test_prefixes_come_off_as_they_went_on() -> None:
    tensors = {"a": torch.ones(1), "b.c": torch.ones(2)}
    both = prefixed("net", tensors) | prefixed("network", tensors)
    assert under("net", both) == tensors
