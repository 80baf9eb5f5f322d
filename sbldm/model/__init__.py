"""The model as a whole: its settings, its weights, and what it generates."""

from sbldm.model.conditioning import Conditioner, ConditioningSpec, measure_conditions
from sbldm.model.generate import GeneratedBatch, check_request, generate
from sbldm.model.latent_diffusion import LatentDiffusion
from sbldm.model.spec import CUES, ModelSpec, forget_conditions
from sbldm.model.walk import WalkedBatch, full_walk, stop_walked, walk

__all__ = [
    "CUES",
    "Conditioner",
    "ConditioningSpec",
    "GeneratedBatch",
    "LatentDiffusion",
    "ModelSpec",
    "WalkedBatch",
    "check_request",
    "forget_conditions",
    "full_walk",
    "generate",
    "measure_conditions",
    "stop_walked",
    "walk",
]
