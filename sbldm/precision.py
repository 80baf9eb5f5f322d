"""In which precision matrix products are computed: chosen by the machine and by how much there is to gain."""

from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WIDE = 2_000_000
"""Weights from which bfloat16 pays on a CPU with tiles for it: docs/performance.md has the times by size."""


def choose_dtype(precision: Precision, device: torch.device, *, weights: int) -> torch.dtype:
    """Return the type that products of a module with so many weights are computed in.

    ``auto`` is float32 on a CPU, but bfloat16 for wide modules where the CPU multiplies tiles of it (Intel AMX);
    on a GPU it is bfloat16 where that is built in, else float16.
    """
    if precision != "auto":
        return DTYPES[precision]
    if device.type == "cpu":
        return torch.bfloat16 if weights >= WIDE and has_tiles() else torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def has_tiles() -> bool:
    """Say whether this CPU has units for products of bfloat16 tiles; older torch releases cannot tell."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16", False))


def computing(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Return a context in which products are computed in this type; weights and sums stay as they are."""
    mixed = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if mixed else None, enabled=mixed)
