"""What the scores of all segmenters prove: sentences, tables, a drawing, and the numbers that the run is told."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from evaluation.segmentation.arms import ARMS
from evaluation.segmentation.forest import draw_forest
from evaluation.segmentation.gains import BASELINES, Gain, arm_means, find_gains
from evaluation.segmentation.scores import average_classes
from evaluation.segmentation.types import Score
from sbldm.files import atomic_write
from search.downstream.result import Conclusion, Means
from search.downstream.spec import BenchmarkSpec
from search.downstream.tables import LEAD, CrossedMeans, tabulate_arms, tabulate_gains, tabulate_means


def conclude(scores: tuple[Score, ...], spec: BenchmarkSpec) -> Conclusion:
    """Return what the scores prove: means, gains with their intervals, sentences and a forest plot.

    The forest plot and the sentences are of Dice of the lesions, or where there are none, of all classes.
    """
    whole = (*scores, *average_classes(scores, LEAD))
    means, gains = arm_means(whole), find_gains(whole, level=spec.level)
    focus = _focus(whole, spec.lesions)
    told = [gain for gain in gains if (gain.label, gain.metric) == (focus, LEAD)]
    shown = [gain for gain in told if gain.baseline == BASELINES[0]] or told
    synthetic = [gain for gain in told if gain.arm in ARMS and ARMS[gain.arm].trains_on_synthetic]

    def draw(path: Path) -> None:
        form: Literal["png", "svg"] = "svg" if path.suffix == ".svg" else "png"
        atomic_write(path, draw_forest(shown, level=spec.level, form=form))

    return Conclusion(
        tuple(gain.sentence(spec.level) for gain in synthetic),
        tabulate_arms(means, told, focus, spec.level),
        _plain(means),
        draw,
        {"means": tabulate_means(means, spec.level), "gains": tabulate_gains(gains, spec.level)},
        dict(_headline(synthetic, spec.level)),
    )


def _focus(scores: tuple[Score, ...], lesions: tuple[str, ...]) -> str:
    labels = list(dict.fromkeys(score.label for score in scores))
    return next((label for label in labels if label in lesions), labels[-1])


def _headline(gains: Iterable[Gain], level: float) -> Iterable[tuple[str, float]]:
    """Yield the gain of each arm with synthetic slices over real ones, with its ends, under a name of its own."""
    for gain in gains:
        if gain.baseline != BASELINES[0]:
            continue
        name = f"gain_{gain.metric}/{gain.label}/{gain.arm} at {100 * gain.fraction:g}"
        yield name, gain.mean.point
        for end, value in zip(("low", "high"), gain.mean.interval(level) or (), strict=False):
            yield f"{name}_{end}", value


def _plain(means: CrossedMeans) -> Means:
    plain: Means = {}
    for (arm, fraction, label, metric), mean in means.items():
        plain.setdefault((arm, fraction), {})[f"{metric}/{label}"] = mean.point
    return plain
