"""Where to compute, and what it costs in memory."""

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch

from sbldm.errors import ConfigError

DeviceName = Literal["auto", "cpu", "cuda"]


def choose_device(name: DeviceName = "auto") -> torch.device:
    """Return the named device; auto takes a GPU where there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda needs a GPU that torch can see, but there is none; set device to cpu or auto")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory used so far: of the GPU, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak_memory(device: torch.device) -> None:
    """Count the most memory from now on; where the system knows no way to forget, the process's past stays in."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): reset the peak resident set size


def fingerprint(device: torch.device, dtype: torch.dtype) -> dict[str, str | int]:
    """Return what must be equal for a resumed run to equal an uninterrupted one to the bit."""
    return {
        "torch": torch.__version__,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "dtype": str(dtype).removeprefix("torch."),
    }
