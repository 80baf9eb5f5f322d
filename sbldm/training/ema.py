"""Averaged weights: what is evaluated and saved."""

import torch
from torch import nn


def ema_decay(decay: float, step: int) -> float:
    """Return the decay of this step, counted from 1: small at first, so that the start is soon forgotten."""
    return min(decay, (1 + step) / (10 + step)) if decay else 0.0


@torch.no_grad()
def update_average(averaged: nn.Module, module: nn.Module, decay: float) -> None:
    """Move averaged parameters towards the module's; buffers are copied."""
    for mean, value in zip(averaged.parameters(), module.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for copy, buffer in zip(averaged.buffers(), module.buffers(), strict=True):
        copy.copy_(buffer)
