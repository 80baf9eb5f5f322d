"""One seed, many named and independent streams; global randomness is never touched."""

import hashlib

import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream with this name, such as ``derive_seed(0, "real", epoch)``."""
    text = ":".join(["segmentation", str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator for the named stream, so that every device sees the same draws."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))
