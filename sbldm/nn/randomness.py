"""Layers draw their first weights and their dropout from torch's global generator; here it is borrowed and returned."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sbldm.seeding import derive_seed


@contextmanager
def borrowed_generator(seed: int, *names: str | int, device: torch.device | None = None) -> Iterator[None]:
    """Seed the global generators for the named stream inside the block; put their states back after it."""
    stream = derive_seed(seed, *names)
    on_gpu = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if on_gpu else []):
        torch.default_generator.manual_seed(stream)
        if on_gpu:
            torch.cuda.manual_seed(stream)
        yield
