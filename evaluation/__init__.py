"""Metrics of small sets of medical images: tensors in, numbers with intervals out."""

from evaluation.error_map import ErrorMap, draw_error_map, draw_grid, error_map
from evaluation.evaluate import evaluate_features, noise_floor
from evaluation.features import EXTRACTORS, Extractor, build_extractor
from evaluation.frechet import frechet_distance
from evaluation.kernel import kernel_distance
from evaluation.manifold import precision_recall
from evaluation.metric import METRICS, Metric
from evaluation.perceptual import lpips, perceptual_distance
from evaluation.population import population_distance
from evaluation.report import (
    Table,
    describe_results,
    format_interval,
    tabulate_results,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from evaluation.similarity import psnr, ssim
from evaluation.types import FeatureSet, ImageSet, MetricResult, stand_alone

__all__ = [
    "EXTRACTORS",
    "METRICS",
    "ErrorMap",
    "Extractor",
    "FeatureSet",
    "ImageSet",
    "Metric",
    "MetricResult",
    "Table",
    "build_extractor",
    "describe_results",
    "draw_error_map",
    "draw_grid",
    "error_map",
    "evaluate_features",
    "format_interval",
    "frechet_distance",
    "kernel_distance",
    "lpips",
    "noise_floor",
    "perceptual_distance",
    "population_distance",
    "precision_recall",
    "psnr",
    "ssim",
    "stand_alone",
    "tabulate_results",
    "to_csv",
    "to_html",
    "to_latex",
    "to_markdown",
]
