"""Training: one loop for both stages, exact to resume."""

from sbldm.training.checkpoint import Checkpoint, CheckpointStore
from sbldm.training.device import DeviceName, choose_device
from sbldm.training.distributed import World, current_world, joined
from sbldm.training.loop import train
from sbldm.training.record import StepRecord, ValidationRecord
from sbldm.training.spec import TrainingSpec, learning_rate
from sbldm.training.stages import AutoencoderTask, DiffusionTask, stack_cues
from sbldm.training.task import Task
from sbldm.training.validation import BinLoss, LossInterval, loss_intervals, validation_loss
from sbldm.training.watch import ValidationSet, Watch, plan_watch

__all__ = [
    "AutoencoderTask",
    "BinLoss",
    "Checkpoint",
    "CheckpointStore",
    "DeviceName",
    "DiffusionTask",
    "LossInterval",
    "StepRecord",
    "Task",
    "TrainingSpec",
    "ValidationRecord",
    "ValidationSet",
    "Watch",
    "World",
    "choose_device",
    "current_world",
    "joined",
    "learning_rate",
    "loss_intervals",
    "plan_watch",
    "stack_cues",
    "train",
    "validation_loss",
]
