"""Half precision is used where it pays, and nowhere by surprise."""

import pytest
import torch

from sbldm.precision import WIDE, choose_dtype, computing, has_tiles

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def plant_tiles(monkeypatch: pytest.MonkeyPatch, *, present: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": present}, raising=False)


@pytest.mark.parametrize(
    "tiles, weights, dtype",
    [
        (False, WIDE, torch.float32),
        (True, WIDE, torch.bfloat16),
        (True, WIDE - 1, torch.float32),
    ],
)
def test_a_cpu_halves_wide_modules_where_it_has_tiles_for_them(
    monkeypatch: pytest.MonkeyPatch, tiles: bool, weights: int, dtype: torch.dtype
) -> None:
    plant_tiles(monkeypatch, present=tiles)
    assert choose_dtype("auto", CPU, weights=weights) == dtype


def test_a_precision_that_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_tiles(monkeypatch, present=True)
    assert choose_dtype("float32", CPU, weights=WIDE) == torch.float32
    assert choose_dtype("bfloat16", CPU, weights=1) == torch.bfloat16


@pytest.mark.parametrize("built_in, dtype", [(True, torch.bfloat16), (False, torch.float16)])  # an A100 and a T4
def test_a_gpu_halves_all(monkeypatch: pytest.MonkeyPatch, built_in: bool, dtype: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: built_in)
    assert choose_dtype("auto", GPU, weights=1) == dtype


def test_a_torch_that_cannot_tell_has_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_tiles()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_have_the_type_they_are_computed_in(dtype: torch.dtype) -> None:
    with computing(CPU, dtype):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
