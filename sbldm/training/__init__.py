"""Training: one loop for both stages, exact to resume."""

from sbldm.training.checkpoint import Checkpoint, CheckpointStore
from sbldm.training.device import DeviceName, choose_device
from sbldm.training.loop import StepRecord, train
from sbldm.training.spec import Precision, TrainingSpec, learning_rate
from sbldm.training.stages import AutoencoderTask, DiffusionTask, stack_cues
from sbldm.training.task import Task
from sbldm.training.validation import BinLoss, validation_loss

__all__ = [
    "AutoencoderTask",
    "BinLoss",
    "Checkpoint",
    "CheckpointStore",
    "DeviceName",
    "DiffusionTask",
    "Precision",
    "StepRecord",
    "Task",
    "TrainingSpec",
    "choose_device",
    "learning_rate",
    "stack_cues",
    "train",
    "validation_loss",
]
