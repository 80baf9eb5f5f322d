"""When a draw is hopeless: after some of its seeds another draw beats it in everything, and by more than chance."""

import warnings
from collections.abc import Generator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from search.open_study import Goal, OpenStudy
from search.part import Part
from search.study_events import Told

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

Values = Sequence[float]
"""One value per objective."""
BY_SEED, SECONDS = "by_seed", "seconds_by_seed"
"""Attributes of a trial: the values of each seed it was run with, in order, and how long each took."""


def find_rival(study: OpenStudy, search: "optuna.Study", seen: Sequence[Values]) -> str | None:
    """Return the label of a draw of the front that makes the rest of a draw's seeds a waste of time, if there is one.

    Seeds are the instances that both were run with. The rival must be better in every objective, each by Optuna's
    Wilcoxon signed-rank test over the shared seeds at ``study.prune``: all of them must agree, so that no correction
    for their number is due. Three seeds that all are worse have p = 1/8, four 1/16. To stop one that is equal in truth
    costs the search nothing but that draw.

    Args:
        study: its objectives, and the p-value below which a difference counts.
        search: all trials; rivals are the best that keep the constraints.
        seen: the draw's values by seed, from the first on.
    """
    for rival in search.best_trials:
        theirs = rival.user_attrs.get(BY_SEED, [])
        goals = enumerate(study.objectives.values())
        if len(theirs) >= len(seen) and all(
            _is_worse([each[at] for each in seen], [each[at] for each in theirs], goal, study.prune)
            for at, goal in goals
        ):
            return str(rival.user_attrs["cell"])
    return None


def tell_pruning(part: Part) -> Generator[Told, None, None]:
    """Say how many draws were stopped early, and what their other seeds would have taken at the pace of those run."""
    from optuna.trial import TrialState

    pruned = part.queue.study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    if not pruned:
        return
    spent = sum(sum(trial.user_attrs[SECONDS]) for trial in pruned)
    saved = sum(_left(trial, len(part.seeds)) for trial in pruned)
    yield Told(
        f"{len(pruned)} draw(s) were stopped early after {spent:.0f} s in all;"
        f" at that pace their other seeds would have taken {saved:.0f} s more"
    )


def _left(trial: "FrozenTrial", seeds: int) -> float:
    seconds = trial.user_attrs[SECONDS]
    return fmean(seconds) * (seeds - len(seconds))


def _is_worse(ours: Values, theirs: Values, goal: Goal, p: float) -> bool:
    """Ask Optuna's pruner about one objective: it knows single ones only, so each has a study of its own, in memory."""
    import optuna

    shared = theirs[: len(ours)]  # the pruner also compares means, which other seeds would shift
    search = optuna.create_study(direction=goal)
    search.add_trial(optuna.trial.create_trial(value=fmean(shared), intermediate_values=dict(enumerate(shared))))
    running = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING, intermediate_values=dict(enumerate(ours))
    )
    with warnings.catch_warnings():  # that its interface may change; the tests of this file would see it
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=p)
    return pruner.prune(search, running)
