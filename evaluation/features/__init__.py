"""Feature extractors: a new one is a file and a line here."""

from evaluation.features import clip, dinov2, inception, lite0, vgg16  # each registers itself
from evaluation.features.extractor import EXTRACTORS, Extractor, build_extractor
from evaluation.features.inception import build_inception
from evaluation.features.lite0 import build_lite0
from evaluation.features.pretrained import Pretrained

__all__ = [
    "EXTRACTORS",
    "Extractor",
    "Pretrained",
    "build_extractor",
    "build_inception",
    "build_lite0",
    "clip",
    "dinov2",
    "inception",
    "lite0",
    "vgg16",
]
