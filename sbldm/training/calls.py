"""How a module is called while it trains: in parts, with checkpointed blocks, compiled; the loss never notices."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sbldm.nn.autoencoders import Autoencoder, Posterior
from sbldm.training.distributed import World, share
from sbldm.training.spec import TrainingSpec

BLOCKS = {"ResidualBlock", "DiffusionUNetResnetBlock", "SpatialAttentionBlock", "SpatialTransformer"}
"""Names of the layers that may be computed again: ours and MONAI's."""

Call = Callable[..., Any]

logger = logging.getLogger(__name__)


class CallPath:
    """The way from a stage's loss to the module's own methods.

    The loss sees the whole batch, so all noise and levels are drawn as ever; the module sees it in parts.
    Weights must act through calls of the module alone, and every input must be a tensor with one row per sample.
    """

    def __init__(self, module: nn.Module, spec: TrainingSpec, world: World) -> None:
        self.module, self.spec, self.world = module, spec, world
        self.is_compiled = spec.compile
        self._ways = self._build()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Route the module's calls inside the block, the backward pass included; then leave it as it was."""
        before = [(owner, name, owner.__dict__.get(name)) for owner, name, _ in self._ways]
        for owner, name, way in self._ways:
            setattr(owner, name, way)
        try:
            yield
        finally:
            for owner, name, own in before:
                delattr(owner, name) if own is None else setattr(owner, name, own)

    def give_up_compiling(self, error: Exception) -> None:
        """Go on without the compiler, and say so once."""
        reason = str(error).strip().partition("\n")[0]
        logger.warning("cannot compile, going on without: %s: %s", type(error).__name__, reason[:200])
        self.is_compiled = False
        self._ways = self._build()

    def _build(self) -> list[tuple[nn.Module, str, Call]]:
        blocks: list[tuple[nn.Module, str, Call]] = []
        if self.spec.checkpoint_activations:
            inner = [block for block in self.module.modules() if type(block).__name__ in BLOCKS]
            blocks = [(block, "forward", _forgetful(block.forward)) for block in inner]
        if not self.is_compiled and self.spec.accumulate == 1 and self.world.size == 1:
            return blocks
        return blocks + [(self.module, name, self._way(getattr(self.module, name))) for name in entries(self.module)]

    def _way(self, call: Call) -> Call:
        if self.is_compiled:
            call = torch.compile(call)
        if self.spec.accumulate > 1:
            call = in_parts(call, self.spec.accumulate)
        return share(call, self.world) if self.world.size > 1 else call


def entries(module: nn.Module) -> tuple[str, ...]:
    """Return the methods through which a stage's loss calls the module."""
    return ("encode", "decode") if isinstance(module, Autoencoder) else ("forward",)


def in_parts(call: Call, parts: int) -> Call:
    """Return the call made part by part; what a part keeps for its gradient lives only while it is worked on.

    The loss joins the parts before any gradient is known, so each part is computed once more on the way back.
    """
    forgetful = _forgetful(call)

    def parted(*inputs: Tensor) -> Any:
        return join([forgetful(*part) for part in zip(*(x.chunk(parts) for x in inputs), strict=True)])

    return parted


def join(parts: list[Any]) -> Any:
    """Return what the call would have returned for all rows at once."""
    if isinstance(parts[0], Posterior):
        means, log_variances = [part.mean for part in parts], [part.log_variance for part in parts]
        return Posterior(torch.cat(means), torch.cat(log_variances))
    return torch.cat(parts)


def _forgetful(call: Call) -> Call:
    return lambda *inputs: checkpoint(call, *inputs, use_reentrant=False)
