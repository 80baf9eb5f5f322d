"""One seed, many named and independent streams; global randomness is never touched."""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream with this name, e.g. ``derive_seed(0, "training", step)``."""
    text = ":".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator for the named stream, so that every device sees the same draws."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))


def sample_noise(seed: int, indices: Sequence[int], shape: Sequence[int]) -> Float[Tensor, "b ..."]:
    """Return standard normal noise whose row depends on (seed, index) alone, never on the batch."""
    rows = [torch.randn(tuple(shape), generator=generator(seed, "noise", index)) for index in indices]
    return torch.stack(rows)
