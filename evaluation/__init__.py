"""Metrics of small sets of medical images: tensors in, numbers with intervals out."""

from evaluation.evaluate import evaluate_features, noise_floor
from evaluation.features import EXTRACTORS, Extractor, build_extractor
from evaluation.frechet import frechet_distance
from evaluation.kernel import kernel_distance
from evaluation.manifold import precision_recall
from evaluation.metric import METRICS, Metric
from evaluation.similarity import psnr, ssim
from evaluation.types import FeatureSet, ImageSet, MetricResult, stand_alone

__all__ = [
    "EXTRACTORS",
    "METRICS",
    "Extractor",
    "FeatureSet",
    "ImageSet",
    "Metric",
    "MetricResult",
    "build_extractor",
    "evaluate_features",
    "frechet_distance",
    "kernel_distance",
    "noise_floor",
    "precision_recall",
    "psnr",
    "ssim",
    "stand_alone",
]
