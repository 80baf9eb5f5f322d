"""How much do studies save by sharing work? Four studies with one cache, against the same trials each from nothing.

Every trial is the real thing, tracked in MLflow as on the command line; both arms write to one tracking database, so
that the cache is all that differs. An independent trial finds an empty cache. Of the independent trials only a random
part is run where --sample says so, at least one of each study, and the time of the others is taken to be the mean of
their study; the numbers of every trial that is run twice must be equal to the last digit. Times are CPU seconds of one
thread, since other work on the machine stretches the clock; the clock's are printed beside them.

    python benchmarks/studies.py                          # all trials twice: about an hour and a half on one core
    python benchmarks/studies.py --sample 5               # five of the independent trials
    python benchmarks/studies.py --set training.steps=50  # in little time, where sharing saves more than in real life
"""

import argparse
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from evaluation import MetricResult
from search.cache import Cache
from search.compose import pairs
from search.config import ExperimentConfig, override
from search.presets import preset
from search.runner import TrialFinished, plan, run_study
from search.runs import train_run
from search.studies import STUDIES
from search.tracking import MlflowStore

NAMES = ("gamma", "frequency", "cutmix", "early-stop")
LEAST_RATIO = 3.0
Results = dict[str, MetricResult]


@dataclass(frozen=True)
class Spent:
    """What something took: of one thread's time, and by the clock."""

    cpu: float
    clock: float

    def __sub__(self, earlier: "Spent") -> "Spent":
        """Return the time since."""
        return Spent(self.cpu - earlier.cpu, self.clock - earlier.clock)

    def __str__(self) -> str:
        """Say both."""
        return f"{self.cpu:.0f} CPU s ({self.clock:.0f} s by the clock)"


def now() -> Spent:
    """Return what both clocks show."""
    return Spent(time.process_time(), time.perf_counter())


def run_shared(
    name: str, base: ExperimentConfig, seeds: Sequence[int], folder: Path, store: MlflowStore
) -> tuple[dict[str, Results], Spent]:
    """Run a study with the cache that all share; return the results of each trial, and the time."""
    begun = last = now()
    results = {}
    for event in run_study(STUDIES[name], base, seeds=seeds, home=folder, store=store, name=name):
        if isinstance(event, TrialFinished):
            assert event.result is not None, f"{name}, {event.label}: {event.reason}"
            results[event.label] = event.result.results
            print(f"{name}, {event.label}: with the cache in {now() - last}", flush=True)
            last = now()
    print(f"{name}: {len(results)} trials with the cache in {now() - begun}", flush=True)
    return results, now() - begun


def run_alone(config: ExperimentConfig, name: str, store: MlflowStore) -> tuple[Results, Spent]:
    """Run one trial from nothing; return its results, and the time."""
    begun = now()
    with tempfile.TemporaryDirectory() as empty:
        events = train_run(config, name=name, cache=Cache(Path(empty)), store=store)
        while True:
            try:
                next(events)
            except StopIteration as end:
                return end.value[1].results, now() - begun


def choose(trials: Sequence[tuple[str, str]], sample: int | None, seed: int) -> list[tuple[str, str]]:
    """Return so many of the trials at random, at least one of each study; None for all."""
    if sample is None or sample >= len(trials):
        return list(trials)
    shuffled = random.Random(seed).sample(trials, len(trials))
    first = {name: (name, label) for name, label in reversed(shuffled)}
    others = [trial for trial in shuffled if trial not in first.values()]
    return sorted([*first.values(), *others][: max(sample, len(first))], key=trials.index)


def extrapolate(spent: dict[tuple[str, str], Spent], trials: Sequence[tuple[str, str]]) -> Spent:
    """Return the time of all trials, where each that was not run takes the mean of its study."""
    known = defaultdict(list)
    for (name, _), each in spent.items():
        known[name].append(each)
    means = {
        name: Spent(fmean(one.cpu for one in each), fmean(one.clock for one in each)) for name, each in known.items()
    }
    return total([spent.get(trial, means[trial[0]]) for trial in trials])


def total(parts: Sequence[Spent]) -> Spent:
    """Return the sum."""
    return Spent(sum(each.cpu for each in parts), sum(each.clock for each in parts))


def compare(options: argparse.Namespace, folder: Path) -> float:
    """Run both arms, say what they took, and return how many times as long the independent one takes."""
    base = override(preset(options.preset), {"device": "cpu", **pairs(options.set)})
    seeds, store = range(options.seeds), MlflowStore(folder)
    planned = {
        (name, trial.label): trial.config for name in options.studies for trial in plan(STUDIES[name], base, seeds)
    }
    chosen = choose(list(planned), options.sample, options.seed)
    together, alone = [], {}
    for study in options.studies:
        shared, spent = run_shared(study, base, seeds, folder, store)
        together.append(spent)
        for name, label in (each for each in chosen if each[0] == study):
            found, alone[name, label] = run_alone(planned[name, label], f"alone {label}", store)
            check_same(shared[label], found, f"{name}, {label}")
            print(f"{name}, {label}: alone in {alone[name, label]}, the same numbers", flush=True)
        so_far = [trial for trial in planned if trial[0] in options.studies[: len(together)]]
        sides = total(together), extrapolate(alone, so_far)
        print(f"so far {len(so_far)} trials: {sides[0]} with one cache, {sides[1]} without", flush=True)
    how = "all run" if len(chosen) == len(planned) else f"{len(chosen)} run, the others at the mean of their study"
    print(
        f"\n{len(planned)} trials of {len(options.studies)} studies, {options.seeds} seed(s), preset {options.preset}"
    )
    print(f"with one cache: {sides[0]}\nindependently: {sides[1]}; {how}")
    print(f"ratio: {sides[1].cpu / sides[0].cpu:.2f} in CPU seconds")
    return sides[1].cpu / sides[0].cpu


def check_same(found: Results, expected: Results, what: str) -> None:
    """Refuse numbers that the cache has changed."""
    odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    assert not odd, f"{what}: {', '.join(odd)} differ with the cache"


def main() -> None:
    """Compare, and fail where sharing saves less than two thirds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--studies", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sample", type=int, help="independent trials to run; all by default")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--least", type=float, default=LEAST_RATIO, help="smallest ratio that passes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ratio = compare(options, Path(folder))
    if ratio < options.least:
        raise SystemExit(f"sharing saves too little: {ratio:.2f} times as fast, and {options.least:g} are wanted")


if __name__ == "__main__":
    main()
