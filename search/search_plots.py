"""What a search has learned, in pictures: how it went, which ranges mattered, and what it can trade for what."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sbldm.errors import ConfigError
from sbldm.files import atomic_write
from search.front import Tried, find_front
from search.open_study import OpenStudy
from search.space import Choice, LogUniform, Range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna.distributions import BaseDistribution

FEWEST = 4
TREES = 64
FOLDS = 5
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#999999"  # Okabe & Ito 2008: told apart by readers of any color vision


def importances(tried: Sequence[Tried], study: OpenStudy, *, objective: int = 0, seed: int = 0) -> dict[str, float]:
    """Return the share of an objective's variance over the ranges that each setting explains by itself, largest first.

    It is functional analysis of variance on a forest of regression trees (Hutter, Hoos & Leyton-Brown 2014, "An
    Efficient Approach for Assessing Hyperparameter Importance"), scaled to a sum of 1; of values that are all alike
    nothing explains anything. Optuna's default, which looks at
    the best trials alone, has ranked a mere seed above a true effect. With few draws a share is a hint.

    Args:
        tried: all draws, those that break a constraint too.
        study: their ranges.
        objective: which, counted from 0.
        seed: of the forest.

    Raises:
        ConfigError: there are too few draws.
    """
    import optuna

    if len(tried) < FEWEST:
        raise ConfigError(f"importances need {FEWEST} draws or more, but got {len(tried)}")
    if len({each.values[objective] for each in tried}) == 1:
        return dict.fromkeys(study.ranges, 0.0)
    distributions = {path: _distribution(path, each) for path, each in study.ranges.items()}
    search = optuna.create_study(direction="minimize")
    for each in tried:
        trial = optuna.trial.create_trial(params=each.params, distributions=distributions, value=each.values[objective])
        search.add_trial(trial)
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
    return dict(optuna.importance.get_param_importances(search, evaluator=evaluator))


def predictability(tried: Sequence[Tried], study: OpenStudy, *, objective: int = 0, seed: int = 0) -> float:
    """Return the share of an objective's variance that a forest predicts of draws it has not seen, at most 1.

    At 0 or below the settings tell nothing, and shares of importance are shares of chance: they always sum to 1.
    """
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped]

    rows = np.array([_encode(each.params, study) for each in tried])
    values = np.array([each.values[objective] for each in tried])
    if not values.std() > 0:
        return 0.0
    folds = np.random.default_rng(seed).permutation(len(tried)) % min(FOLDS, len(tried))
    guesses = np.empty_like(values)
    for fold in set(folds.tolist()):
        forest = RandomForestRegressor(TREES, random_state=seed).fit(rows[folds != fold], values[folds != fold])
        guesses[folds == fold] = forest.predict(rows[folds == fold])
    return float(1 - ((values - guesses) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def draw_search(tried: Sequence[Tried], study: OpenStudy, folder: Path) -> tuple[Path, ...]:
    """Draw the history, the importances where draws suffice, and the front of two objectives; return the PNG files."""
    from matplotlib.figure import Figure

    objectives = list(study.objectives)
    pages = {"history": len(objectives)}
    pages |= {"importance": len(objectives)} if len(tried) >= FEWEST else {}
    pages |= {"front": 1} if len(objectives) == 2 else {}
    paths = []
    for page, panels in pages.items():
        figure = Figure(figsize=(5.5 * panels, 3.8), layout="constrained")
        for at, axes in enumerate(figure.subplots(1, panels, squeeze=False)[0]):
            if page == "history":
                _draw_history(axes, tried, study, at)
            elif page == "importance":
                _draw_importance(axes, tried, study, at)
            else:
                _draw_front(axes, tried, study)
        known = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=120)
        atomic_write(folder / f"{page}.png", content.getvalue())
        paths.append(folder / f"{page}.png")
    return tuple(paths)


def _encode(params: Mapping[str, float | int | str], study: OpenStudy) -> list[float]:
    """Return a draw as numbers, a choice as one column for each of its values."""
    row: list[float] = []
    for path, each in study.ranges.items():
        columns = [float(params[path] == label) for label in each.labels(path)] if isinstance(each, Choice) else []
        row += columns or [float(params[path])]
    return row


def _distribution(path: str, each: Range) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(each, Choice):
        return CategoricalDistribution(each.labels(path))
    if isinstance(each.low, int) and isinstance(each.high, int):
        return IntDistribution(each.low, each.high, log=isinstance(each, LogUniform))
    return FloatDistribution(each.low, each.high, log=isinstance(each, LogUniform))


def _draw_history(axes: "Axes", tried: Sequence[Tried], study: OpenStudy, at: int) -> None:
    """Draw the value of each draw in order, and the best so far that keeps the constraints."""
    name, goal = list(study.objectives.items())[at]
    choose = min if goal == "minimize" else max
    values = [each.values[at] for each in tried]
    _scatter(axes, list(range(1, len(tried) + 1)), values, tried)
    best: list[tuple[int, float]] = []
    for number, each in enumerate(tried, start=1):
        if each.is_feasible:
            best.append((number, choose([each.values[at], *(value for _, value in best[-1:])])))
    if best:
        axes.step(*zip(*best, strict=True), where="post", color="black", linewidth=1, label="best so far")
    axes.set(xlabel="draw", ylabel=name, title=f"{name}: {goal}")


def _draw_importance(axes: "Axes", tried: Sequence[Tried], study: OpenStudy, at: int) -> None:
    shares, told = importances(tried, study, objective=at), predictability(tried, study, objective=at)
    words = (
        f"{100 * told:.0f} % of the variance of unseen draws is told"
        if told > 0
        else "these draws do not tell what matters"
    )
    axes.barh(list(shares), list(shares.values()), color=BLUE if told > 0 else GRAY)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of variance (fANOVA)")
    axes.set_title(f"{list(study.objectives)[at]}\n{words}", fontsize=10)


def _draw_front(axes: "Axes", tried: Sequence[Tried], study: OpenStudy) -> None:
    first, second = study.objectives
    _scatter(axes, [each.values[0] for each in tried], [each.values[1] for each in tried], tried)
    front = find_front(tried, study)
    if front:
        ends = list(zip(*(each.values for each in front), strict=True))
        axes.plot(*ends, color="black", linewidth=1, marker="o", markersize=9, fillstyle="none", label="front")
    kept = f"{len(front)} settings" if len(front) != 1 else "one setting"
    axes.set(xlabel=first, ylabel=second, title=f"{kept} that none beats in both")


def _scatter(axes: "Axes", across: Sequence[float], up: Sequence[float], tried: Sequence[Tried]) -> None:
    for feasible, color, marker, label in (
        (True, BLUE, "o", "keeps constraints"),
        (False, ORANGE, "x", "breaks a constraint"),
    ):
        chosen = [(x, y) for x, y, each in zip(across, up, tried, strict=True) if each.is_feasible is feasible]
        if chosen:
            axes.plot(*zip(*chosen, strict=True), linestyle="", marker=marker, color=color, label=label, markersize=5)
    axes.grid(alpha=0.25)
