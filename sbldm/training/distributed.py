"""One training on several processes: each computes the module on its share of every batch; the loss stays whole."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sbldm.errors import ConfigError, ResourceError, RunError
from sbldm.nn.autoencoders import Posterior

PATIENCE = timedelta(days=1)  # the first may prepare data for hours; a process that dies is noticed at once


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is; the first writes and reports for all."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Return whether this process writes checkpoints and yields records."""
        return self.rank == 0


def current_world() -> World:
    """Return this process's place among those that train together; alone unless they were joined."""
    if not (dist.is_available() and dist.is_initialized()):
        return World()
    return World(dist.get_rank(), dist.get_world_size())


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the processes that ``torchrun`` started, for as long as the block lasts; without it, be alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    if device.type == "cuda":
        torch.cuda.set_device(_own_gpu(int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()))
    with _together():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield current_world()
    finally:
        dist.destroy_process_group()


def check_batch(batch: int, accumulate: int, world: World) -> None:
    """Refuse a batch that the processes cannot share equally."""
    parts = world.size * accumulate
    if batch % parts:
        raise ConfigError(
            f"batch must be a multiple of {parts} ({world.size} processes x accumulate {accumulate}), but got {batch}"
        )


def check_step(step: int, device: torch.device) -> None:
    """Refuse to start where the processes do not see the same checkpoint."""
    with _together():
        steps = torch.tensor([step, -step], device=device)
        dist.all_reduce(steps, dist.ReduceOp.MAX)
    newest, oldest = int(steps[0]), -int(steps[1])
    if newest != oldest:
        raise RunError(f"all processes must resume from the same checkpoint, but found steps {oldest} and {newest}")


def hear_first(*words: int) -> tuple[int, ...]:
    """Return the first process's words, whatever this one's are; all must call it, with as many words."""
    with _together():
        heard = torch.tensor(words)
        dist.broadcast(heard, src=0)
    return tuple(heard.tolist())


def all_go_on(go_on: bool, device: torch.device) -> bool:
    """Return whether every process wants another step; each must ask."""
    with _together():
        wish = torch.tensor(int(go_on), device=device)
        dist.all_reduce(wish, dist.ReduceOp.MIN)
    return bool(wish)


def share(call: Callable[..., Any], world: World) -> Callable[..., Any]:
    """Return the call made on this process's rows, whose result holds the rows of all processes.

    Every process then computes the same loss of the whole batch, but only its own rows lead back to its weights:
    the sum of all processes' gradients is that of one process, whatever the loss does with the batch.
    """

    def shared(*inputs: Tensor) -> Any:
        mine = call(*(x.chunk(world.size)[world.rank] for x in inputs))
        if isinstance(mine, Posterior):
            return Posterior(_gather(mine.mean, world), _gather(mine.log_variance, world))
        return _gather(mine, world)

    return shared


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over all processes, in one message."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    with _together():
        dist.all_reduce(flat)
    sums = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, summed in zip(gradients, sums, strict=True):
        gradient.copy_(summed.view_as(gradient))


def _own_gpu(place: int, count: int) -> int:
    if place >= count:
        raise ConfigError(f"each process needs a GPU of its own, but process {place + 1} finds {count}")
    return place


def _gather(mine: Tensor, world: World) -> Tensor:
    rows: Tensor = _Gather.apply(mine, world)
    return rows


class _Gather(torch.autograd.Function):
    """All processes' rows, of which only this one's lead back."""

    @staticmethod
    def forward(context: Any, mine: Tensor, world: World) -> Tensor:
        context.rank, context.rows = world.rank, len(mine)
        sent = mine.float().contiguous()  # not every backend sends half precision
        shares = [torch.empty_like(sent) for _ in range(world.size)]
        with _together():
            dist.all_gather(shares, sent)
        return torch.cat(shares).to(mine.dtype)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        start = context.rank * context.rows
        return gradient[start : start + context.rows], None


@contextmanager
def _together() -> Iterator[None]:
    """Say in one line that another process is gone; torch says it in many."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ResourceError(
            "another process of this training ended or cannot be reached, so all stop; start again to go on from the"
            " last checkpoint"
        ) from error
