"""The draws of a search: each is one trial with all its seeds, asked for when a worker is free to run it."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sbldm.spec import digest_of
from search.attempt import Complete, Pruned, Story
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.events import ExperimentResult
from search.experiment import run_experiment
from search.front import DRAW, DRAWN, mark_draw
from search.open_study import OpenStudy, constraint_values, make_sampler, objective_values
from search.part import Part
from search.pruning import BY_SEED, SECONDS, find_rival
from search.queue import Draw, Lease
from search.recording import record_run
from search.selection import GROUP, check_selection
from search.space import Choice, Range, label_draw, suggest
from search.stages import data_stage
from search.study_events import TrialStarted
from search.study_run import find_or_start
from search.tracking import Document

if TYPE_CHECKING:
    import optuna


def check_ranges(study: OpenStudy, base: ExperimentConfig) -> None:
    """Refuse a range of which one end by itself is no valid setting.

    Raises:
        ConfigError: names the setting.
    """
    shared = override(base, study.base)
    for path, each in study.ranges.items():
        for value in _ends(each):
            override(shared, {path: value})


def ask_for(study: OpenStudy, seed: int) -> Draw:
    """Return what draws the next trial of a search from all that is known, until it has all its draws.

    Draws that run, that have failed for good and that were found hopeless count. To be called by one worker at a time.
    """

    def ask(search: "optuna.Study") -> "optuna.Trial | None":
        trials = search.get_trials(deepcopy=False)
        tried_again = {trial.user_attrs.get("retry_of") for trial in trials}
        if sum(trial.number not in tried_again for trial in trials) >= study.trials:
            return None
        search.sampler = make_sampler(study, seed=seed, drawn=len(trials))
        trial = search.ask()
        changes = suggest(trial, study.ranges)  # now, that the next worker knows what is being tried
        trial.set_user_attr("key", f"draw-{trial.number}")
        trial.set_user_attr("cell", label_draw(changes))
        return trial

    return ask


def tell_draw(lease: Lease, part: Part) -> Story:
    """Run a draw with one seed after the other; each is a tracked run, and their mean is what the draw is worth."""
    study = part.study
    assert isinstance(study, OpenStudy)
    changes = suggest(lease.trial, study.ranges)
    shared = override(part.base, study.base)
    runs: list[str] = []
    results: list[ExperimentResult] = []
    for seed in part.seeds:
        config = _build(shared, changes, seed)
        run_id = _find_or_start(lease, config, part)
        runs.append(run_id)
        lease.trial.set_user_attr("seed", seed)
        lease.trial.set_user_attr("run", run_id)
        counts = part.queue.counts()
        number = counts["COMPLETE"] + counts["PRUNED"] + counts["RUNNING"]
        yield TrialStarted(f"{lease.attributes['cell']} seed={seed}", number, study.trials, run_id)
        cache = Cache(part.home / "cache")
        if not results and any(name.startswith(GROUP) for name in study.objectives):  # seeds share their data
            check_selection((yield from data_stage(config, cache)).data)
        tracker = part.store.tracker(run_id)
        tracker.log(Document(DRAW, {"draw": _key(lease), "changes": changes, "params": lease.trial.params}))
        events = run_experiment(config, cache)
        started = time.monotonic()
        results.append((yield from record_run(config, events, tracker)))
        rival = _note_seed(lease, results, time.monotonic() - started, part)
        if rival and len(results) < len(part.seeds):
            reason = f"in {len(results)} of {len(part.seeds)} seeds {rival} is better in everything"
            mark_draw(part.store, runs, "pruned", reason)
            return Pruned(reason)
    values = objective_values(study, results)
    constraints = dict(zip(study.constraints, constraint_values(study, results), strict=True))
    mark_draw(part.store, runs, "complete")
    return Complete(values, results[-1], constraints)


def _note_seed(lease: Lease, results: Sequence[ExperimentResult], seconds: float, part: Part) -> str | None:
    """Keep what a seed came to with its draw, and return which other draw now makes this one hopeless, if any does."""
    study, earlier = part.study, lease.attributes.get(SECONDS, [])
    assert isinstance(study, OpenStudy)
    seen = [objective_values(study, [each]) for each in results]
    lease.trial.set_user_attr(BY_SEED, [list(each) for each in seen])
    if len(earlier) < len(seen):  # else it was run before a stop, and is found in the cache now
        lease.trial.set_user_attr(SECONDS, [*earlier, seconds])
    return find_rival(study, part.queue.study, seen) if study.prune else None


def _build(shared: ExperimentConfig, changes: Mapping[str, Any], seed: int) -> ExperimentConfig:
    return override(shared, {**changes, "seed": seed})


def _find_or_start(lease: Lease, config: ExperimentConfig, part: Part) -> str:
    label, own = f"{lease.attributes['cell']} seed={config.seed}", f"{_key(lease)}-{config.seed}"
    tags = {
        "sbldm.study": part.name,
        "sbldm.cell": str(lease.attributes["cell"]),
        "sbldm.seed": str(config.seed),
        "sbldm.config": digest_of(config.public()),
        DRAWN: _key(lease),
    }
    return find_or_start(part.queue, part.store, own, label, kind="trial", parent=part.parent, tags=tags)


def _key(lease: Lease) -> str:
    return str(lease.attributes["key"])


def _ends(each: Range) -> Sequence[Any]:
    return each.values if isinstance(each, Choice) else (each.low, each.high)
