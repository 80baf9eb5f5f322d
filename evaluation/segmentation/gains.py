"""What an arm gains over a baseline: paired differences per patient, for other patients and other trainings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import stats

from evaluation.intervals import mean_interval
from evaluation.multiplicity import holm
from evaluation.segmentation.arms import ARMS
from evaluation.segmentation.crossed import CrossedMean, crossed_mean
from evaluation.segmentation.scores import table_of
from evaluation.segmentation.types import Score

BASELINES = ("real", "real+augmentation", "real duplicated")
LOWER_IS_BETTER = ("hd95_mm", "hd95_px")
Key = tuple[float, str, str]
"""Fraction, class, metric."""


@dataclass(frozen=True)
class Gain:
    """One arm less one baseline, at one fraction, of one class and metric.

    Attributes:
        mean: of the differences over patients and seeds.
        p: of the crossed t test, adjusted after Holm over the arms compared with this baseline; NaN without error.
        wilcoxon_p: signed ranks of the patients' means over seeds, adjusted likewise; for these trainings only.
        bootstrap: expanded percentiles of patients drawn anew; for these trainings only, and None for one patient.
        effect: Cohen's d_z, the mean over the standard deviation of the patients' differences.
    """

    arm: str
    baseline: str
    fraction: float
    label: str
    metric: str
    mean: CrossedMean
    p: float
    wilcoxon_p: float
    bootstrap: tuple[float, float] | None
    effect: float

    def verdict(self, level: float) -> str:
        """Return ``better``, ``worse`` or ``no difference``; the latter too where nothing can be told."""
        if not self.p < 1 - level:
            return "no difference"
        return "better" if (self.mean.point > 0) != (self.metric in LOWER_IS_BETTER) else "worse"

    def sentence(self, level: float) -> str:
        """Return what patients and seeds show, with the numbers."""
        where = f"at {self.fraction:.0%} of the patients"
        counts = f"{self.mean.patients} test patients, {self.mean.seeds} seeds"
        limits = self.mean.interval(level)
        if limits is None:
            return f"{self.arm} against {self.baseline} {where}: {counts} give no interval."
        numbers = f"{self.mean.point:+.3f} [{limits[0]:+.3f}, {limits[1]:+.3f}] {self.metric} of {self.label}"
        if self.verdict(level) == "no difference":
            least = self.mean.resolvable(level=level)
            return (
                f"{self.arm} against {self.baseline} {where}: {numbers}; no difference that {counts} can show"
                f" (smallest resolvable with power .8: {least:.3f})."
            )
        return (
            f"{self.arm} is {self.verdict(level)} than {self.baseline} {where}: {numbers} ({counts};"
            f" Holm p = {self.p:.2g}; Wilcoxon over patients, for these trainings alone, p = {self.wilcoxon_p:.2g};"
            f" d_z = {self.effect:.2f})."
        )


def arm_means(scores: Sequence[Score]) -> dict[tuple[str, float, str, str], CrossedMean]:
    """Return the mean of each arm, fraction, class and metric."""
    return {
        (arm, *key): crossed_mean(table_of(rows)[0])
        for key, arms in _by_key(scores).items()
        for arm, rows in arms.items()
    }


def find_gains(
    scores: Sequence[Score], baselines: Iterable[str] = BASELINES, *, level: float = 0.95
) -> tuple[Gain, ...]:
    """Return every arm against every baseline that was trained, at each fraction, of each class and metric.

    An arm that is tested on other slices than real patients' is compared with none. The level is that of the bootstrap.
    """
    return tuple(
        gain
        for key, arms in _by_key(scores).items()
        for baseline in baselines
        if baseline in arms
        for gain in _against(baseline, arms, key, level)
    )


def _against(baseline: str, arms: dict[str, list[Score]], key: Key, level: float) -> list[Gain]:
    fraction, label, metric = key
    rivals = [arm for arm in arms if arm != baseline and _is_tested_on_real(arm)]
    differences = [_differ(arms[arm], arms[baseline]) for arm in rivals]
    means, drawn = [crossed_mean(each) for each in differences], [_bootstrap(each, level) for each in differences]
    ps, ranks = _holm([mean.p_value() for mean in means]), _holm([_wilcoxon(each) for each in differences])
    return [
        Gain(arm, baseline, fraction, label, metric, mean, p, rank, limits, _effect(mean))
        for arm, mean, p, rank, limits in zip(rivals, means, ps, ranks, drawn, strict=True)
    ]


def _differ(ours: list[Score], theirs: list[Score]) -> Float64[np.ndarray, "p s"]:
    one, patients = table_of(ours)
    two, others = table_of(theirs)
    if patients != others or one.shape != two.shape:
        raise ValueError(
            f"arms must be tested on the same patients with the same seeds, but got {one.shape} and {two.shape}"
        )
    return np.asarray(one - two)


def _wilcoxon(differences: Float64[np.ndarray, "p s"]) -> float:
    kept = _over_seeds(differences)
    if len(kept) < 2:
        return float("nan")
    return 1.0 if not kept.any() else float(stats.wilcoxon(kept).pvalue)


def _bootstrap(differences: Float64[np.ndarray, "p s"], level: float) -> tuple[float, float] | None:
    kept = _over_seeds(differences)
    if len(kept) < 2:
        return None
    drawn = mean_interval(kept, np.arange(len(kept)), level=level)
    return drawn.low, drawn.high


def _over_seeds(differences: Float64[np.ndarray, "p s"]) -> Float64[np.ndarray, " k"]:
    """Return the means of the patients who have a score in every training."""
    return np.asarray(differences[~np.isnan(differences).any(axis=1)].mean(axis=1))


def _holm(ps: list[float]) -> list[float]:
    """Adjust those that are numbers."""
    adjusted = iter(holm([p for p in ps if not np.isnan(p)]))
    return [p if np.isnan(p) else next(adjusted) for p in ps]


def _effect(mean: CrossedMean) -> float:
    return mean.point / mean.spread if mean.spread > 0 else float("nan")


def _is_tested_on_real(arm: str) -> bool:
    return arm not in ARMS or ARMS[arm].tested_on == "real"


def _by_key(scores: Sequence[Score]) -> dict[Key, dict[str, list[Score]]]:
    found: dict[Key, dict[str, list[Score]]] = {}
    for score in scores:
        arms = found.setdefault((score.fraction, score.label, score.metric), {})
        arms.setdefault(score.arm, []).append(score)
    return found
