"""The model as a whole: its settings, its weights, and what it generates."""

from sbldm.model.conditioning import Conditioner, ConditioningSpec, measure_conditions
from sbldm.model.generate import GeneratedBatch, check_request, generate
from sbldm.model.latent_diffusion import LatentDiffusion
from sbldm.model.spec import CUES, ModelSpec, forget_conditions

__all__ = [
    "CUES",
    "Conditioner",
    "ConditioningSpec",
    "GeneratedBatch",
    "LatentDiffusion",
    "ModelSpec",
    "check_request",
    "forget_conditions",
    "generate",
    "measure_conditions",
]
