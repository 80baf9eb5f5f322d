"""The only training loop: one step, one record; stop at any moment and run it again to go on."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sbldm.errors import DivergedError, ResourceError
from sbldm.nn import borrowed_generator
from sbldm.training.checkpoint import CheckpointStore
from sbldm.training.device import choose_device, choose_dtype, peak_memory_bytes
from sbldm.training.ema import ema_decay, update_average
from sbldm.training.spec import TrainingSpec, learning_rate
from sbldm.training.state import TrainingState, check_identity, identify
from sbldm.training.task import Task

MOST_OVERFLOWS = 20


@dataclass(frozen=True)
class StepRecord:
    """What a watcher may know of one training step, counted from 1."""

    stage: str
    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    """Before clipping; infinite where a float16 step overflowed and was skipped."""
    seconds: float
    peak_memory_bytes: int
    is_exact: bool
    """False once resumed on another kind of machine than the checkpoint's."""


def train(
    task: Task,
    spec: TrainingSpec,
    *,
    seed: int,
    store: CheckpointStore | None = None,
    device: torch.device | None = None,
) -> Iterator[StepRecord]:
    """Train to the last step, one record per step; ``task.averaged`` then holds the result.

    With a store it goes on from the newest checkpoint, commits when one is due, at the end, and when the caller
    stops early. A checkpoint is written after the caller has dealt with its step's record.

    Raises:
        DivergedError: loss or gradient is not finite; the weights are those of the step before.
        RunError: the store holds checkpoints of other settings, or damaged ones only.
        ResourceError: memory or disk do not suffice.
    """
    return _Run(task, spec, seed, store, choose_device() if device is None else device).records()


class _Run:
    """The state of one call of ``train``."""

    def __init__(
        self, task: Task, spec: TrainingSpec, seed: int, store: CheckpointStore | None, device: torch.device
    ) -> None:
        task.module.to(device).train()
        task.averaged.to(device)
        self.task, self.spec, self.seed, self.store, self.device = task, spec, seed, store, device
        self.dtype = choose_dtype(spec.precision, device)
        optimizer = torch.optim.AdamW(
            task.module.parameters(),
            lr=spec.learning_rate,
            betas=(0.9, spec.beta2),
            weight_decay=spec.weight_decay,
            fused=True,  # a third of the plain update's time, on a CPU too
        )
        scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.state = TrainingState(task, optimizer, scaler)
        self.identity = identify(task, spec, seed)
        self.overflows = 0
        self.committed, self.committed_at = 0, time.monotonic()

    def records(self) -> Iterator[StepRecord]:
        self._resume()
        for step in range(self.state.step + 1, self.spec.steps + 1):
            record = self._advance(step)
            try:
                yield record
            except GeneratorExit:  # the caller stops early: keep what is done
                self._commit()
                raise
            if self._is_due():
                self._commit()
        self._commit()

    def _resume(self) -> None:
        checkpoint = self.store.latest() if self.store else None
        if checkpoint:
            check_identity(checkpoint, self.identity)
            self.state.restore(checkpoint, self.device)
            self.committed = checkpoint.step

    def _is_due(self) -> bool:
        waited = time.monotonic() - self.committed_at
        return self.state.step - self.committed >= self.spec.commit_every or waited >= self.spec.commit_seconds

    def _commit(self) -> None:
        if self.store and self.state.step > self.committed:
            self.store.commit(self.state.step, self.state.tensors(), self.state.meta(self.identity, self.device))
            self.committed, self.committed_at = self.state.step, time.monotonic()

    def _advance(self, step: int) -> StepRecord:
        started = time.perf_counter()
        rate = learning_rate(self.spec, step)
        for group in self.state.optimizer.param_groups:
            group["lr"] = rate
        try:
            loss = self._backward(step)
        except RuntimeError as error:  # torch raises no other type when a CPU has no memory left
            if not _is_out_of_memory(error):
                raise
            raise ResourceError(f"not enough memory for a batch of {self.spec.batch}; lower the batch size") from error
        norm = self._update(step, loss)
        update_average(self.task.averaged, self.task.module, ema_decay(self.spec.ema_decay, step))
        self.state.step = step
        return StepRecord(
            stage=self.task.stage,
            step=step,
            steps=self.spec.steps,
            loss=loss,
            learning_rate=rate,
            gradient_norm=norm,
            seconds=time.perf_counter() - started,
            peak_memory_bytes=peak_memory_bytes(self.device),
            is_exact=self.state.is_exact,
        )

    def _backward(self, step: int) -> float:
        self.state.optimizer.zero_grad(set_to_none=True)
        mixed = self.dtype != torch.float32
        with (
            borrowed_generator(self.seed, self.task.stage, "layers", step, device=self.device),
            torch.autocast(self.device.type, dtype=self.dtype if mixed else None, enabled=mixed),
        ):
            loss = self.task.loss(step, batch=self.spec.batch, seed=self.seed, device=self.device)
        value = _finite(loss, self.task.stage, step)
        self.state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return value

    def _update(self, step: int, loss: float) -> float:
        scaler, optimizer = self.state.scaler, self.state.optimizer
        scaler.unscale_(optimizer)
        limit = self.spec.gradient_clip if self.spec.gradient_clip is not None else math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self.state.parameters, limit))
        self.overflows = 0 if math.isfinite(norm) else self.overflows + 1
        if self.overflows > (MOST_OVERFLOWS if scaler.is_enabled() else 0):
            raise DivergedError(
                f"{self.task.stage} step {step}: the gradient norm must be finite, but it is {norm} (loss {loss:.6g});"
                " lower learning_rate"
            )
        scaler.step(optimizer)  # skips the update itself where float16 overflowed
        scaler.update()
        return norm


def _finite(loss: Float[Tensor, ""], stage: str, step: int) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(f"{stage} step {step}: the loss must be finite, but it is {value}; lower learning_rate")
    return value


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
