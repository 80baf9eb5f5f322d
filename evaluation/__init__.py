"""Metrics of small sets of medical images: tensors in, numbers with intervals out.

Every function is pure: it reads no file, needs no model and gives the same number for the same input.
Rows carry the number of their patient, and every interval counts patients.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> real = FeatureSet(rng.standard_normal((120, 8)), np.arange(120) // 3, "toy")  # 40 patients of 3 slices
>>> generated = FeatureSet(rng.standard_normal((100, 8)) + 0.5, np.arange(100), "toy")
>>> for result in evaluate_features(real, generated):
...     print(f"{result.name:18} {format_interval(result)}")
fd_toy             2.74 [1.85, 3.64]
population_fd_toy  2.21 [1.33, 3.10]
kid_toy            1.27 [0.74, 1.80]
precision_toy      0.830 [0.743, 0.892]
recall_toy         0.850 [0.770, 0.906]
density_toy        0.63 [0.48, 0.78]
coverage_toy       0.775 [0.690, 0.842]
>>> better = FeatureSet(rng.standard_normal((100, 8)), np.arange(100), "toy")
>>> found = compare_features(real, better, generated, paired=False, labels=("B", "A"))
>>> print(judge(adjust(found)).split(";")[0])
B is better than A by 1.31 [0.77, 1.85] kid_toy (p < 0.001 after Holm)
"""

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
