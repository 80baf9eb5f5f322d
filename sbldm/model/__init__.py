"""The model as a whole: its settings, its weights, and what it generates."""

from sbldm.model.generate import GeneratedBatch, generate
from sbldm.model.latent_diffusion import LatentDiffusion
from sbldm.model.spec import CUES, ModelSpec

__all__ = ["CUES", "GeneratedBatch", "LatentDiffusion", "ModelSpec", "generate"]
