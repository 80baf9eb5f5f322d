"""Feature extractors: a new one is a file and a line here."""

from evaluation.features.extractor import EXTRACTORS, Extractor, build_extractor
from evaluation.features.inception import Inception, build_inception
from evaluation.features.lite0 import Lite0, build_lite0

__all__ = ["EXTRACTORS", "Extractor", "Inception", "Lite0", "build_extractor", "build_inception", "build_lite0"]
