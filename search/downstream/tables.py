"""Three tables of one benchmark: arms with what they gain, every mean, and every paired difference."""

from collections.abc import Iterable, Mapping, Sequence

from evaluation import Table
from evaluation.segmentation.crossed import CrossedMean
from evaluation.segmentation.gains import BASELINES, LOWER_IS_BETTER, Gain

LEAD = "dice"
FEW_SEEDS = 5
CrossedMeans = Mapping[tuple[str, float, str, str], CrossedMean]
INTERVALS = (
    "{level:.0%} intervals for other patients and other trainings (two-way crossed variance, Satterthwaite degrees of"
    " freedom{few})."
)
LIBERAL = "; slightly liberal below five seeds: 4 to 8 % of true nulls are called a difference at a level of 5 %"
UNSCORED = "A class that a patient has in neither map is not scored."


def tabulate_arms(means: CrossedMeans, gains: Sequence[Gain], focus: str, level: float) -> Table:
    """Return every arm at every fraction: Dice of each class, and what the arm gains over each baseline.

    Args:
        means: of each arm, fraction, class and metric.
        gains: of Dice of the class that the benchmark is about.
        focus: that class.
        level: of the intervals.
    """
    labels = list(dict.fromkeys(label for _, _, label, metric in means if metric == LEAD))
    cells = list(dict.fromkeys((fraction, arm) for arm, fraction, _, _ in means))
    baselines = [name for name in BASELINES if any(gain.baseline == name for gain in gains)]
    how = _how(means.values(), level)
    rows = []
    for fraction, arm in sorted(cells, key=lambda cell: cell[0]):
        dice = [_interval(means.get((arm, fraction, label, LEAD)), level) for label in labels]
        against = [
            next((_gain(g, level) for g in gains if (g.arm, g.baseline, g.fraction) == (arm, name, fraction)), "")
            for name in baselines
        ]
        rows.append((f"{fraction:.0%}", arm, *dice, *against))
    return Table(
        title="Does synthetic data help a segmenter?",
        header=(
            "patients",
            "trained on",
            *(f"dice {label} ↑" for label in labels),
            *(f"{focus}: less {b}" for b in baselines),
        ),
        rows=tuple(rows),
        caption=(
            f"Means over test patients and seeds, {how} Verdicts are after Holm over the arms compared"
            " with one baseline at one fraction. All arms take the same number of steps; `real duplicated` has as many"
            f" slices in each batch as `real+synthetic`. {UNSCORED}"
        ),
    )


def tabulate_means(means: CrossedMeans, level: float) -> Table:
    """Return every arm, fraction, class and metric, with the patients that could not be scored."""
    rows = [
        (f"{fraction:.0%}", arm, label, _arrow(metric), _interval(mean, level), str(mean.patients), str(mean.left_out))
        for (arm, fraction, label, metric), mean in means.items()
    ]
    how = _how(means.values(), level)
    return Table(
        title="Scores of all arms",
        header=("patients", "trained on", "class", "metric", "mean", "test patients", "left out"),
        rows=tuple(rows),
        caption=(
            f"Means over test patients and seeds, {how} {UNSCORED} Left out are patients without a score"
            " in some training: the class is in neither map, or for hd95 in one alone."
        ),
    )


def tabulate_gains(gains: Sequence[Gain], level: float) -> Table:
    """Return every paired difference with all that is known of it."""
    rows = [
        (
            f"{gain.fraction:.0%}",
            gain.arm,
            gain.baseline,
            gain.label,
            _arrow(gain.metric),
            _gain(gain, level),
            f"{gain.p:.2g}",
            f"{gain.wilcoxon_p:.2g}",
            f"[{gain.bootstrap[0]:+.3f}, {gain.bootstrap[1]:+.3f}]" if gain.bootstrap else "—",
            f"{gain.effect:.2f}",
            f"{gain.mean.resolvable(level=level):.3f}",
            f"{gain.mean.patients} x {gain.mean.seeds}",
        )
        for gain in gains
    ]
    how = _how([gain.mean for gain in gains], level)
    return Table(
        title="Paired differences of all arms",
        header=(
            *("patients", "trained on", "less", "class", "metric", "difference", "Holm p"),
            *("Wilcoxon p", "patients drawn anew", "d_z", "resolvable", "test patients x seeds"),
        ),
        rows=tuple(rows),
        caption=(
            f"Differences with {how} Wilcoxon (signed ranks, Holm too) and the"
            " bootstrap of patients take these trainings as they are, and call the luck of a training a difference; d_z"
            " is the mean over the standard deviation of patients. Resolvable: the smallest true difference that would"
            " be found with power .8."
        ),
    )


def _how(means: Iterable[CrossedMean], level: float) -> str:
    few = LIBERAL if any(mean.seeds < FEW_SEEDS for mean in means) else ""
    return INTERVALS.format(level=level, few=few)


def _arrow(metric: str) -> str:
    return f"{metric} {'↓' if metric in LOWER_IS_BETTER else '↑'}"


def _interval(mean: CrossedMean | None, level: float) -> str:
    if mean is None or mean.patients == 0:
        return "—"
    limits = mean.interval(level)
    return f"{mean.point:.3f} [{limits[0]:.3f}, {limits[1]:.3f}]" if limits else f"{mean.point:.3f}"


def _gain(gain: Gain, level: float) -> str:
    limits = gain.mean.interval(level)
    if limits is None:
        return f"{gain.mean.point:+.3f}"
    return f"{gain.mean.point:+.3f} [{limits[0]:+.3f}, {limits[1]:+.3f}]: {gain.verdict(level)}"
