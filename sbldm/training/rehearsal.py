"""What a training step costs, found by running it on tensors that have shapes but no values."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from sbldm.precision import choose_dtype, computing
from sbldm.training.calls import CallPath
from sbldm.training.distributed import World
from sbldm.training.spec import TrainingSpec


@dataclass(frozen=True)
class Rehearsal:
    """What one step of training takes.

    Attributes:
        parameters: number of weights in each part of the module.
        weight_bytes: of the weights; gradients, averages and each moment of the optimizer are as large.
        peak_bytes: most that was alive at once beside the weights, gradients included.
        forward_flops: of the whole batch; a multiplication and its addition count as two.
    """

    parameters: dict[str, int]
    weight_bytes: int
    peak_bytes: int
    forward_flops: int


def rehearse(
    build: Callable[[], nn.Module],
    loss: Callable[[nn.Module], Tensor],
    *,
    training: TrainingSpec,
    device: torch.device,
) -> Rehearsal:
    """Run a step on fake tensors: nothing is computed or allocated, but every layer is passed as in training.

    Args:
        build: makes the module; called where all new tensors are fake.
        loss: makes inputs for the whole batch, calls the module and returns a scalar.
        training: says in how many parts the module is called, and whether blocks are computed again.
        device: where it will be trained, which decides the precision.
    """
    with FakeTensorMode():
        module = build().train()
        with FlopCounterMode(display=False) as counter, torch.no_grad():  # apart, since it keeps tensors alive
            loss(module)
        weights = list(module.parameters())
        dtype = choose_dtype(training.precision, device, weights=_count(module))
        peak = _peak(module, loss, training, dtype)
        return Rehearsal(
            parameters={name: _count(part) for name, part in module.named_children()},
            weight_bytes=sum(weight.numel() * weight.element_size() for weight in weights),
            peak_bytes=peak,
            forward_flops=int(counter.get_total_flops()),
        )


def _peak(module: nn.Module, loss: Callable[[nn.Module], Tensor], training: TrainingSpec, dtype: torch.dtype) -> int:
    calls = CallPath(module, training.model_copy(update={"compile": False}), World())
    with LiveMemory() as memory, calls.active():
        with computing(torch.device("cpu"), dtype):
            value = loss(module)
        value.backward()  # type: ignore[no-untyped-call]
    peak: int = memory.peak
    return peak


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of all tensors made inside the block that are still alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive, self.peak = 0, 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and count what memory its results are the first to use."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known[storage] = size
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.alive -= size
