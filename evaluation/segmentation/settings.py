"""Settings of a segmenter and of its training; the same for every arm."""

import inspect
import math
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evaluation.features.weights import file_digest
from evaluation.segmentation.words import did_you_mean

Schedule = Literal["cosine", "constant"]
DiceForm = Literal["linear", "log"]


class SegmenterSettings(BaseModel):
    """Choose network, budget and loss; `quick_settings` trains in seconds on one core at 64 x 64."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )

    architecture: str = "Unet"
    """Any architecture of segmentation_models_pytorch."""
    encoder: str = "resnet18"
    """Any encoder of segmentation_models_pytorch; ``tu-`` before a name takes timm's."""
    encoder_weights: Path | None = None
    """Local state dict of the encoder with three input channels; nothing is ever downloaded."""
    depth: int | None = Field(None, ge=3, le=6)
    """Times the encoder halves the image; by default as often as the architecture does."""
    decoder_channels: tuple[int, ...] | None = None
    """Widths of the decoder, coarse to fine; by default those of the architecture."""
    steps: int = Field(2000, ge=1)
    """Optimiser steps, the same in every arm."""
    batch: int = Field(16, ge=1)
    """Slices of the base in each batch; an arm with an extra adds to them."""
    ratio: float = Field(1.0, gt=0, le=100)
    """Slices of the extra for each slice of the base; at 1 each is half of a batch."""
    learning_rate: float = Field(1e-3, gt=0)
    """At its peak."""
    weight_decay: float = Field(1e-2, ge=0)
    """Of AdamW."""
    schedule: Schedule = "cosine"
    """How the learning rate falls after a warm-up over a twentieth of the steps."""
    validate_every: int = Field(200, ge=1)
    """Steps between two looks at the validation patients."""
    dice_weight: float = Field(1.0, ge=0)
    """Of the soft Dice loss over foreground classes."""
    dice_form: DiceForm = "log"
    """linear: 1 - Dice. log: -log Dice, which pulls hardest at a class that is hardly found, as small lesions are."""
    cross_entropy_weight: float = Field(1.0, ge=0)
    """Of the cross-entropy over all classes."""

    @field_validator("architecture")
    @classmethod
    def _architecture_is_known(cls, name: str) -> str:
        return name if name == "Unet" else _one_of("architecture", name, architectures())

    @field_validator("encoder")
    @classmethod
    def _encoder_is_known(cls, name: str) -> str:
        return name if name == "resnet18" else _one_of("encoder", name, encoders(name))

    @model_validator(mode="after")
    def _parts_fit(self) -> "SegmenterSettings":
        if not self.dice_weight + self.cross_entropy_weight > 0:
            raise ValueError("dice_weight or cross_entropy_weight must be above 0, but both are 0")
        if self.decoder_channels is not None:
            _check_decoder(self)
        return self

    def identity(self) -> dict[str, Any]:
        """Return the settings as JSON values; the weights are named by their content, not by their path."""
        weights = file_digest(self.encoder_weights) if self.encoder_weights else None
        return self.model_dump(mode="json") | {"encoder_weights": weights}

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1: up for a twentieth of the steps, then the schedule."""
        warm = max(1, self.steps // 20)
        if step <= warm:
            return self.learning_rate * step / warm
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / (self.steps + 1 - warm)))


def quick_settings() -> SegmenterSettings:
    """Return a network that trains at 64 x 64 in twenty seconds of one core, chosen among nine encoders and depths.

    On all 57 training phantoms of the quick preset it reaches a validation Dice of .847. Decoder widths of
    (48, 32, 16) reach .863, but take 35 CPU seconds instead of 22 with batches of eight.
    """
    return SegmenterSettings(
        encoder="tu-test_efficientnet",  # timm's smallest
        depth=3,
        decoder_channels=(32, 16, 8),
        steps=400,
        batch=4,
        learning_rate=5e-3,
        validate_every=100,
    )


@cache
def architectures() -> tuple[str, ...]:
    """Return the names of all architectures."""
    import segmentation_models_pytorch as smp

    return tuple(each.__name__ for each in smp.MODEL_ARCHITECTURES_MAPPING.values())


def encoders(name: str) -> tuple[str, ...]:
    """Return the names of all encoders; timm's too where the name asks for one of them."""
    import segmentation_models_pytorch as smp

    if not name.startswith("tu-"):
        return tuple(smp.encoders.get_encoder_names())
    import timm

    return tuple(f"tu-{each}" for each in timm.list_models())


def takes(architecture: str, option: str) -> bool:
    """Return whether an architecture names this option."""
    import segmentation_models_pytorch as smp

    return option in inspect.signature(getattr(smp, architecture)).parameters


def _one_of(what: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}{did_you_mean(name, known)}; there are {len(known)}")
    return name


def _check_decoder(settings: SegmenterSettings) -> None:
    widths, depth = settings.decoder_channels or (), settings.depth or 5
    if settings.architecture != "Unet" and not takes(settings.architecture, "decoder_channels"):
        raise ValueError(f"decoder_channels must be left out for {settings.architecture}, but got {widths}")
    if len(widths) != depth or min(widths) < 1:
        raise ValueError(f"decoder_channels must be {depth} widths of 1 or more, as depth says, but got {widths}")
