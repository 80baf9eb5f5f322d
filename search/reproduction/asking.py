"""Experiments of the plan as a person asks for them: composed, foretold, run as one tracked run each, and told."""

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation import MetricResult, Table, format_interval, to_markdown
from search.compose import compose
from search.config import ExperimentConfig
from search.progress import follow
from search.recording import working
from search.reproduction import EXPERIMENTS, Planned, find_experiment
from search.reproduction.criterion import RULE, Check, Verdict
from search.reproduction.estimate import check_hours, foretell
from search.reproduction.planned import Findings, Workplace, identify
from search.runner import StudyEvent
from search.tracking import Document, MlflowStore, Scalar, Tags, Tracker

Asked = tuple[Planned, ExperimentConfig]


@dataclass(frozen=True)
class Outcome:
    """What an experiment came to, and the run that keeps it."""

    planned: Planned
    run_id: str
    findings: Findings
    verdict: Verdict

    def text(self) -> str:
        """Return what a person reads."""
        rows = tuple((str(each.criterion), _measured(each), _verdict(each)) for each in self.findings.checks)
        made = dict.fromkeys(f"{each.criterion.name}: {each.how}." for each in self.findings.checks)
        table = Table(
            f"{self.planned.name} {self.planned.title}: {self.planned.question}",
            ("criterion", "measured", "verdict"),
            rows,
            " ".join([RULE, *made]),
        )
        words = [each for each in self.findings.words if each]
        return "\n".join([to_markdown(table), *words, f"\nverdict: {self.verdict}", f"run {self.run_id}", ""])

    def to_json(self) -> dict[str, Any]:
        """Return everything as a mapping that strict JSON can hold."""
        return {
            "experiment": self.planned.name,
            "title": self.planned.title,
            "question": self.planned.question,
            "verdict": self.verdict,
            "rule": RULE,
            "criteria": [each.to_json() for each in self.findings.checks],
            "words": list(self.findings.words),
            "run_id": self.run_id,
        }


def request(
    name: str, preset: str | None, file: Path | None, source: str | None, changes: Sequence[str] | None
) -> Asked:
    """Return an experiment with its settings: preset, its own changes, then what the user wants."""
    planned = find_experiment(name)
    return planned, compose(preset or planned.preset, file, source, changes, planned=planned.changes)


def check_time(asked: Sequence[Asked], *, seeds: int, most_hours: float) -> None:
    """Refuse what would take longer on a CPU, before anything is run.

    Raises:
        ConfigError: an experiment would.
        ResourceError: one cannot fit into memory.
    """
    for planned, config in asked:
        check_hours(planned, foretell(planned, config, seeds=seeds), most_hours)


def answer(asked: Sequence[Asked], *, home: Path, store: MlflowStore, seeds: int, workers: int) -> Iterator[Outcome]:
    """Run one experiment after the other, with its progress told, and yield what each came to."""
    for each in asked:
        yield follow(ask(each, home=home, store=store, seeds=seeds, workers=workers))


def ask(
    asked: Asked, *, home: Path, store: MlflowStore, seeds: int, workers: int
) -> Generator[StudyEvent, None, Outcome]:
    """Run or resume one experiment as a tracked run; the same settings go on in the same run."""
    planned, config = asked
    tags = {"sbldm.experiment": planned.name, "sbldm.question": planned.question}
    uid = f"{planned.name}-{identify(config)}"
    known = store.runs(uid=uid)
    name = f"{planned.name} {planned.title}"
    run_id = known[0].run_id if known else store.start(name, kind="experiment", tags={**tags, "sbldm.uid": uid})
    tracker = store.tracker(run_id)
    with working(config, tracker):
        findings = yield from planned.measure(Workplace(config, home, store, tracker, seeds, workers))
    outcome = Outcome(planned, run_id, findings, planned.decide(findings.checks))
    _record(outcome, store.tracker(run_id))
    return outcome


def describe_plan(*, as_json: bool) -> str:
    """Return the whole plan: what each experiment asks, at which budget, and what decides it."""
    if as_json:
        told = ("name", "title", "question", "preset", "criteria", "run_time", "changes", "study")
        return json.dumps([{key: getattr(each, key) for key in told} for each in EXPERIMENTS.values()], indent=2)
    rows = tuple(
        (each.name, each.title, each.question, "; ".join(each.criteria), each.preset, each.run_time)
        for each in EXPERIMENTS.values()
    )
    header = ("experiment", "title", "question", "criteria", "preset", "expected time")
    return to_markdown(Table("The reproduction plan", header, rows, RULE))


def describe_foretold(asked: Sequence[Asked], *, seeds: int, as_json: bool) -> str:
    """Return what experiments would take, from their settings alone."""
    told = [(planned, config, foretell(planned, config, seeds=seeds)) for planned, config in asked]
    if as_json:
        documents = [
            {
                "experiment": planned.name,
                "criteria": planned.criteria,
                "settings": config.public(),
                "trains": each.trains,
                "networks": each.networks,
                "hours": each.hours,
                "stages": {cost.stage: asdict(cost) for cost in each.told.stages},
            }
            for planned, config, each in told
        ]
        return json.dumps(documents, indent=2)
    lines: list[str] = []
    for planned, _, each in told:
        lines += [f"{planned.name} {planned.title}: {planned.question}"]
        lines += [f"  {line}" for line in (*planned.criteria, *each.lines())]
    return "\n".join([*lines, "nothing was read, trained or written"])


def _record(outcome: Outcome, tracker: Tracker) -> None:
    for name, result in outcome.findings.results.items():
        for item in _scalars(name, result.point, result.low, result.high):
            tracker.log(item)
    for number, each in enumerate(outcome.findings.checks, start=1):
        for item in _scalars(f"criterion/{number}", each.point, each.low, each.high):
            tracker.log(item)
        tracker.log(Tags({f"sbldm.criterion.{number}": f"{each.criterion}: {each.verdict}"}))
    results = {name: each.to_json() for name, each in outcome.findings.results.items()}
    tracker.log(Document("results.json", results))
    tracker.log(Document("experiment.json", outcome.to_json()))
    tracker.log(Tags({"sbldm.verdict": outcome.verdict}))
    tracker.finish("FINISHED")


def _scalars(name: str, point: float, low: float | None, high: float | None) -> list[Scalar]:
    ends = {name: point, f"{name}_low": low, f"{name}_high": high}
    return [Scalar(key, value) for key, value in ends.items() if value is not None and value == value]


def _measured(each: Check) -> str:
    return format_interval(MetricResult("", each.point, each.low, each.high, 0.95, "", {}, None, "lower"))


def _verdict(each: Check) -> str:
    return each.verdict if each.criterion.counts else f"{each.verdict} (not counted)"
