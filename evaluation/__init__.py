"""Metrics of small sets of medical images: tensors in, numbers with intervals out."""

from evaluation.agreement import Agreement, rank_agreement
from evaluation.compare import compare_features, compare_influences, compare_scores
from evaluation.copies import copies_constraint, copies_result
from evaluation.curve import DistanceCurve, distance_curve, draw_curve
from evaluation.difference import Difference, adjust
from evaluation.diversity import diversity, diversity_gap, feature_diversity
from evaluation.error_map import ErrorMap, draw_error_map, draw_grid, error_map
from evaluation.evaluate import evaluate_features, noise_floor
from evaluation.feature_file import read_features, write_features
from evaluation.features import EXTRACTORS, Extractor, build_extractor
from evaluation.foreground import intensity_mask, label_mask
from evaluation.frechet import frechet_distance
from evaluation.influence import Influence
from evaluation.kernel import kernel_distance
from evaluation.manifold import precision_recall
from evaluation.memorization import MemorizationAudit, memorization
from evaluation.metric import METRICS, Metric
from evaluation.multiplicity import holm
from evaluation.multiscale import ms_ssim
from evaluation.nearest_pairs import draw_nearest_pairs
from evaluation.perceptual import lpips, perceptual_distance
from evaluation.pixel_copies import pixel_memorization
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
from evaluation.verdict import judge, judge_all

__all__ = [
    "EXTRACTORS",
    "METRICS",
    "Agreement",
    "Difference",
    "DistanceCurve",
    "ErrorMap",
    "Extractor",
    "FeatureSet",
    "ImageSet",
    "Influence",
    "MemorizationAudit",
    "Metric",
    "MetricResult",
    "Table",
    "adjust",
    "build_extractor",
    "compare_features",
    "compare_influences",
    "compare_scores",
    "copies_constraint",
    "copies_result",
    "describe_results",
    "distance_curve",
    "diversity",
    "diversity_gap",
    "draw_curve",
    "draw_error_map",
    "draw_grid",
    "draw_nearest_pairs",
    "error_map",
    "evaluate_features",
    "feature_diversity",
    "format_interval",
    "frechet_distance",
    "holm",
    "intensity_mask",
    "judge",
    "judge_all",
    "kernel_distance",
    "label_mask",
    "lpips",
    "memorization",
    "ms_ssim",
    "noise_floor",
    "perceptual_distance",
    "pixel_memorization",
    "population_distance",
    "precision_recall",
    "psnr",
    "rank_agreement",
    "read_features",
    "ssim",
    "stand_alone",
    "tabulate_results",
    "to_csv",
    "to_html",
    "to_latex",
    "to_markdown",
    "write_features",
]
