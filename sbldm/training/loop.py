"""The only training loop: one step, one record; stop at any moment and run it again to go on."""

import math
import time
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from sbldm.errors import DivergedError, ResourceError
from sbldm.nn import borrowed_generator
from sbldm.precision import choose_dtype, computing
from sbldm.training.calls import CallPath
from sbldm.training.checkpoint import CheckpointStore
from sbldm.training.device import choose_device, fingerprint, forget_peak_memory, peak_memory_bytes
from sbldm.training.distributed import all_go_on, check_batch, check_step, current_world, sum_gradients
from sbldm.training.ema import ema_decay, update_average
from sbldm.training.record import StepRecord
from sbldm.training.spec import TrainingSpec, learning_rate
from sbldm.training.state import TrainingState, check_identity, identify
from sbldm.training.task import Task

MOST_OVERFLOWS = 20


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

    Joined processes (see ``distributed.joined``) share each batch; all call this function alike, and only the first
    yields records and commits.

    Raises:
        ConfigError: the processes cannot share the batch equally.
        DivergedError: loss or gradient is not finite; the weights are those of the step before.
        RunError: the store holds checkpoints of other settings, or damaged ones only.
        ResourceError: memory or disk do not suffice, or another process of this training ended.
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
        weights = sum(weight.numel() for weight in task.module.parameters())
        self.dtype = choose_dtype(spec.precision, device, weights=weights)
        forget_peak_memory(device)
        self.world = current_world()
        check_batch(spec.batch, spec.accumulate, self.world)
        self.calls = CallPath(task.module, spec, self.world)
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
            if not self._all_go_on(True):
                break
            record = self._advance(step)
            if not self.world.is_first:
                continue
            try:
                yield record
            except GeneratorExit:  # the caller stops early: keep what is done
                if step < self.spec.steps:
                    self._all_go_on(False)
                self._finish()
                raise
            if self._is_due():
                self._commit()
        self._finish()

    def _finish(self) -> None:
        self._commit()
        self._all_go_on(True)  # the others wait until the checkpoint is there

    def _all_go_on(self, go_on: bool) -> bool:
        return go_on if self.world.size == 1 else all_go_on(go_on, self.device)

    def _resume(self) -> None:
        checkpoint = self.store.latest() if self.store else None
        if checkpoint:
            check_identity(checkpoint, self.identity)
            self.state.restore(checkpoint, fingerprint(self.device, self.dtype))
            self.committed = checkpoint.step
        if self.world.size > 1:
            check_step(self.state.step, self.device)

    def _is_due(self) -> bool:
        waited = time.monotonic() - self.committed_at
        return self.state.step - self.committed >= self.spec.commit_every or waited >= self.spec.commit_seconds

    def _commit(self) -> None:
        if self.store and self.world.is_first and self.state.step > self.committed:
            self.store.commit(
                self.state.step,
                self.state.tensors(),
                self.state.meta(self.identity, fingerprint(self.device, self.dtype)),
            )
            self.committed, self.committed_at = self.state.step, time.monotonic()

    def _advance(self, step: int) -> StepRecord:
        started = time.perf_counter()
        rate = learning_rate(self.spec, step)
        for group in self.state.optimizer.param_groups:
            group["lr"] = rate
        loss = self._try_backward(step)
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
            samples=self.spec.batch,
        )

    def _try_backward(self, step: int) -> float:
        try:
            return self._backward(step)
        except RuntimeError as error:  # torch raises no other type when a CPU has no memory left
            if _is_out_of_memory(error):
                message = (
                    f"not enough memory for a batch of {self.spec.batch}; lower the batch size or raise accumulate"
                )
                raise ResourceError(message) from error
            if not self.calls.is_compiled:
                raise
            self.calls.give_up_compiling(error)
        return self._backward(step)

    def _backward(self, step: int) -> float:
        self.state.optimizer.zero_grad(set_to_none=True)
        with self.calls.active():
            loss = self._loss(step)
            value = _finite(loss, self.task.stage, step)
            self.state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.world.size > 1:
            sum_gradients(self.state.parameters)
        return value

    def _loss(self, step: int) -> Float[Tensor, ""]:
        others = () if self.world.is_first else ("rank", self.world.rank)  # each process drops out its own
        with (
            borrowed_generator(self.seed, self.task.stage, "layers", step, *others, device=self.device),
            computing(self.device, self.dtype),
        ):
            return self.task.loss(step, batch=self.spec.batch, seed=self.seed, device=self.device)

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
