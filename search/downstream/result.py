"""What a benchmark came to, on paper: one table, sentences, a drawing, every score, and the audit."""

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation import Table
from evaluation.segmentation.types import Score
from sbldm.files import atomic_write, write_json
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.downstream.leaks import LeakAudit
from search.events import Event
from search.inspect import FORMATS, find_format
from search.stages import cached

ENDINGS = {"latex": "tex"}
DRAWINGS = ("forest.png", "forest.svg")
Means = dict[tuple[str, float], dict[str, float]]


@dataclass(frozen=True, eq=False)
class Conclusion:
    """What the scores prove.

    Attributes:
        sentences: for people, each with its numbers.
        table: every arm at every fraction.
        means: of each arm and fraction, under names such as ``dice/lesion``.
        draw: writes the drawing to a path, in the form its ending says.
        more: further tables by name, kept as files.
        headline: what is told of the run whose generator was asked about, by name.
    """

    sentences: tuple[str, ...]
    table: Table
    means: Means
    draw: Callable[[Path], object]
    more: Mapping[str, Table] = field(default_factory=dict)
    headline: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class BenchmarkResult:
    """A benchmark whose audit holds.

    Attributes:
        scores: of each test patient under each training.
        conclusion: what they prove.
        audit: that no test patient was learned from.
        facts: counts and digests.
        files: table in four forms, drawings, scores and audit.
    """

    scores: tuple[Score, ...]
    conclusion: Conclusion
    audit: LeakAudit
    facts: dict[str, Any]
    files: tuple[Path, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """Return what is found, what was checked, and how patients were dealt."""
        return (*self.conclusion.sentences, *self.audit.sentences(), self.facts["patients_rule"])

    def table(self) -> Table:
        """Return the numbers behind it."""
        return self.conclusion.table

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "sentences": list(self.sentences()),
            "table": asdict(self.conclusion.table),
            "tables": {name: asdict(table) for name, table in self.conclusion.more.items()},
            "means": [
                {"arm": arm, "fraction": fraction, **numbers}
                for (arm, fraction), numbers in self.conclusion.means.items()
            ],
            "audit": self.audit.to_json(),
            "facts": self.facts,
            "scores": scores_to_json(self.scores),
            "files": [str(path) for path in self.files],
        }


def describe_benchmark(result: BenchmarkResult, form: str) -> str:
    """Return sentences and table in one of the formats of every table, or all of it as JSON."""
    if form == "json":
        return json.dumps(result.to_json(), indent=2, allow_nan=False)
    return "\n".join(result.sentences()) + "\n\n" + find_format(form)(result.table())


def scores_to_json(scores: tuple[Score, ...]) -> list[dict[str, Any]]:
    """Return one mapping per score; what is undefined is null."""
    return [asdict(score) | {"value": None if score.value != score.value else score.value} for score in scores]


def write_files(result: BenchmarkResult, cache: Cache) -> Generator[Event, None, tuple[Path, ...]]:
    """Return the paths of all files, written once for what they say."""
    tables = {"table": result.table(), **result.conclusion.more}
    texts = {
        f"{name}.{ENDINGS.get(form, form)}": write(table)
        for name, table in tables.items()
        for form, write in FORMATS.items()
    }
    texts["summary.md"] = describe_benchmark(result, "md")
    documents = _documents(result)

    def build(entry: Entry) -> Generator[Event, None, dict[str, Any]]:
        yield from ()
        for name, text in texts.items():
            atomic_write(entry.directory / name, text.encode())
        for name, document in documents.items():
            write_json(entry.directory / name, document)
        for name in DRAWINGS:
            result.conclusion.draw(entry.directory / name)
        return {}

    digest = digest_of([texts, documents])
    entry, _ = yield from cached(cache, "benchmark", digest, build)
    return tuple(entry.directory / name for name in (*texts, *documents, *DRAWINGS))


def _documents(result: BenchmarkResult) -> Mapping[str, Any]:
    return {
        "scores.json": scores_to_json(result.scores),
        "audit.json": result.audit.to_json(),
        "facts.json": result.facts,
    }
