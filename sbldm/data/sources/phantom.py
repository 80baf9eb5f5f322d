"""Pseudo-patients from the MNI152 average brain: synthetic, with exact labels, no download."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, UInt8
from pydantic import Field, model_validator
from torch import Tensor

from sbldm.data.sources.anatomy import Frame, tissue_probabilities, warp
from sbldm.data.sources.appearance import render
from sbldm.data.sources.base import SOURCES, Shown, SourceSpec
from sbldm.data.sources.lesions import LesionNumber, LesionPlace, grow_lesions, measure_lesions, read_lesions
from sbldm.data.sources.template import load_template
from sbldm.data.subject import Subject
from sbldm.data.volume import Volume, even_positions
from sbldm.errors import DataError
from sbldm.seeding import generator

TISSUES = ("csf", "gm", "wm")
COARSE_PIXEL_MM = 1.75  # pixels above this see the template averaged to 2 mm, as a scanner would


@SOURCES.register
class PhantomSpec(SourceSpec):
    """Make patients: "synthetic, derived from the MNI152 average". Patient i is the same among 3 or 3000."""

    younger: ClassVar[tuple[str, ...]] = (*SourceSpec.younger, "lesion_conditions")
    kind: Literal["phantom"] = "phantom"
    patients: int = Field(default=60, ge=1, le=100_000)
    """How many patients."""
    slices: int = Field(default=16, ge=1, le=256)
    """Axial slices per patient, evenly spaced over ``z_mm``."""
    z_mm: tuple[float, float] = (-20.0, 50.0)
    """Lowest and highest slice in MNI millimetres; the ventricles lie between 0 and 30."""
    contrast: Literal["t1", "flair"] = "t1"
    """Look of the tissues."""
    size: int = Field(default=64, ge=16, le=512)
    """Pixels a side."""
    fov_mm: float = Field(default=192.0, ge=100, le=400)
    """Side of the square field of view."""
    deformation: float = Field(default=1.0, ge=0, le=2)
    """Scale of all differences in shape; 0 gives every patient the average anatomy."""
    lesion_probability: float = Field(default=0.0, ge=0, le=1)
    """Share of the patients with one to three lesions; above 0 there is a fourth class, ``lesion``."""
    lesion_radius_mm: tuple[float, float] = (5.0, 12.0)
    """Smallest and largest radius."""
    lesion_place: LesionPlace = "wm"
    """Tissue in which lesions are centred."""
    lesion_conditions: tuple[LesionNumber, ...] = ()
    """What the network is told of each patient's lesions, and of each slice's ``area``; by default nothing."""
    seed: int = Field(default=0, ge=0)
    """Another seed makes other patients."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "PhantomSpec":
        if not -60 <= self.z_mm[0] <= self.z_mm[1] <= 75:
            raise ValueError(f"z_mm must ascend within [-60, 75], but got {self.z_mm}")
        if not 1 <= self.lesion_radius_mm[0] <= self.lesion_radius_mm[1] <= 40:
            raise ValueError(f"lesion_radius_mm must ascend within [1, 40], but got {self.lesion_radius_mm}")
        if self.lesion_conditions and not self.lesion_probability:
            raise ValueError(f"lesion_conditions need lesion_probability above 0, but got {self.lesion_probability}")
        return self

    @property
    def known_names(self) -> tuple[str, ...]:
        """Return what is told of the lesions."""
        return self.lesion_conditions

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the tissues, and the lesion where there may be one."""
        return (*TISSUES, "lesion") if self.lesion_probability > 0 else TISSUES

    def subjects(self) -> tuple[Subject, ...]:
        """Return as many numbered patients as asked for."""
        return tuple(Subject(f"phantom-{index:05d}") for index in range(self.patients))

    def read(self, subject: Subject) -> Volume:
        """Make the patient; the same each time."""
        if subject not in self.subjects():
            raise DataError(f"{subject.id}: no such phantom; there are {self.patients}, from phantom-00000 on")
        return self._make(int(subject.id.removeprefix("phantom-")))

    def measure(self, labels: UInt8[Tensor, "n h w"], positions: Float[Tensor, " n"]) -> dict[str, Shown]:
        """Return what label maps of this field of view, at any size, show of the lesions that are told."""
        size, (low, high) = labels.shape[-1], self.z_mm
        z = low + (high - low) * (positions.cpu() + 1) / 2 if self.slices > 1 else torch.full_like(positions, low)
        points = Frame(size, self.fov_mm, z.cpu()).points(size)
        lesion = labels.cpu() == len(TISSUES) + 1
        shown = read_lesions(lesion, points, pixel_mm=self.fov_mm / size, axis_mm=self.slices * self._slice_mm)
        return {name: shown[name] for name in self.lesion_conditions}

    @property
    def _slice_mm(self) -> float:
        low, high = self.z_mm
        step = (high - low) / (self.slices - 1) if self.slices > 1 else 0.0
        return step or self.fov_mm / self.size

    def _make(self, index: int) -> Volume:
        pixel_mm = self.fov_mm / self.size
        template = load_template(2 if pixel_mm >= COARSE_PIXEL_MM else 1)
        frame = Frame(self.size, self.fov_mm, torch.linspace(*self.z_mm, self.slices))
        shape = generator(self.seed, "phantom", index, "shape")
        sampled = template.sample(template.tissues, warp(frame, template, deformation=self.deformation, random=shape))
        tissues = tissue_probabilities(sampled[:3], frame, deformation=self.deformation, random=shape)
        tissues = grow_lesions(
            tissues,
            frame,
            probability=self.lesion_probability,
            radius_mm=self.lesion_radius_mm,
            place=self.lesion_place,
            random=generator(self.seed, "phantom", index, "lesion"),
        )
        image = render(
            tissues, sampled[3], frame, contrast=self.contrast, random=generator(self.seed, "phantom", index, "look")
        )
        labels = most_likely(tissues)
        spacing = self._slice_mm, pixel_mm, pixel_mm
        found = measure_lesions(labels == len(TISSUES) + 1, frame.points(self.size), spacing_mm=spacing)
        known = torch.stack([found[name] for name in self.lesion_conditions], dim=1) if self.lesion_conditions else None
        return Volume(image, labels, spacing, even_positions(self.slices), known)


def most_likely(tissues: Float[Tensor, "k z h w"]) -> UInt8[Tensor, "z h w"]:
    """Return the label with the largest share of each pixel; what the tissues leave is background, label 0."""
    background = 1 - tissues.sum(0, keepdim=True)
    return torch.cat([background, tissues]).argmax(0).to(torch.uint8)
