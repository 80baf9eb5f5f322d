"""The ``sbldm`` command: parse, wire, print. Heavy imports stand inside the commands, so that help answers at once."""

import json
import signal
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from search.config import ExperimentConfig
    from search.tracking import MlflowStore

EXIT_CODES = {
    "ConfigError": 2,
    "DataError": 3,
    "ValueError": 3,
    "RunError": 4,
    "ResourceError": 5,
    "DivergedError": 6,
    "StorageError": 7,
}
R = TypeVar("R")

app = typer.Typer(
    name="sbldm",
    help="Train small latent diffusion models on medical slices and say, with intervals, which setting is better.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Preset = Annotated[str, typer.Option(help="Budget: quick, laptop, t4 or paper.")]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings, laid over the preset.")]
Data = Annotated[str | None, typer.Option(help="A kind of source (phantom), or a folder of NIfTI or image files.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable.")]
Home = Annotated[Path, typer.Option("--mlruns", envvar="SBLDM_MLRUNS", help="Folder of databases, artifacts, cache.")]
Uri = Annotated[str | None, typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow server to use.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="Id of a run, or its unique beginning.")]
HOME = Path("mlruns")


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="A kind of source (phantom), or a folder.")],
    preset: Preset = "quick",
    config: Config = None,
    changes: Set = None,
    out: Annotated[Path, typer.Option(help="Where to save the contact sheet.")] = Path("contact_sheet.png"),
    as_json: Json = False,
    home: Home = HOME,
) -> None:
    """Show what a source holds: patients, slices, range, labels, split; and save a contact sheet."""
    settings = _configure(preset, config, source, changes)
    from search.cache import Cache
    from search.inspect import describe, save_contact_sheet
    from search.stages import data_stage

    prepared = _follow(data_stage(settings, Cache(home / "cache"))).data
    save_contact_sheet(prepared.train, out)
    summary = prepared.summary()
    typer.echo(json.dumps(summary | {"contact_sheet": str(out)}, indent=2) if as_json else describe(summary))
    if not as_json:
        typer.echo(f"contact sheet: {out}")


@app.command()
def train(
    preset: Preset = "quick",
    config: Config = None,
    source: Annotated[str | None, typer.Option("--data", help="A kind of source, or a folder.")] = None,
    changes: Set = None,
    name: Annotated[str, typer.Option(help="Name of the run.")] = "train",
    dry_run: DryRun = False,
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Train one model and evaluate it, as a tracked run; the same command goes on where it was stopped."""
    settings = _configure(preset, config, source, changes)
    if dry_run:
        typer.echo(json.dumps(settings.public(), indent=2))
        return
    from search.cache import Cache
    from search.runs import train_run

    run_id, result = _follow(
        train_run(settings, name=name, cache=Cache(home / "cache"), store=_open(home, tracking_uri))
    )
    _print_result(run_id, result, as_json)


@app.command()
def sample(
    run_id: RunId,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many slices.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other slices.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the PNG grid and the npz.")] = Path("samples"),
    changes: Set = None,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Generate slices with label maps: a PNG grid and one npz."""
    from search.cache import Cache
    from search.inspect import save_samples
    from search.runs import open_run, sample_run

    cache = Cache(home / "cache")
    run = open_run(run_id, cache=cache, store=_open(home, tracking_uri), changes=_pairs(changes))
    for path in save_samples(_follow(sample_run(run, count, seed=seed, cache=cache)), out):
        typer.echo(path)


@app.command()
def evaluate(
    run_id: RunId,
    source: Annotated[str | None, typer.Option("--data", help="Where the run's data lie now, if elsewhere.")] = None,
    changes: Set = None,
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Measure a run's model on its test patients; the results go into the run as well."""
    from search.cache import Cache
    from search.locate import source_changes
    from search.runs import evaluate_run, open_run

    cache, store = Cache(home / "cache"), _open(home, tracking_uri)
    moved = source_changes(source) if source else {}
    run = open_run(run_id, cache=cache, store=store, changes=moved | _pairs(changes))
    _print_result(run.record.run_id, _follow(evaluate_run(run, cache=cache, store=store)), as_json)


@app.command()
def search(
    study: Annotated[str, typer.Option(help="Which question; `sbldm studies` lists them.")],
    preset: Preset = "quick",
    config: Config = None,
    source: Annotated[str | None, typer.Option("--data", help="A kind of source, or a folder.")] = None,
    changes: Set = None,
    seeds: Annotated[int, typer.Option(min=1, help="Each setting is run with so many seeds.")] = 2,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop after so many trials.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of this instance of the study.")] = None,
    dry_run: DryRun = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Run or resume a study: every setting with every seed, each a tracked run; then print its table."""
    from search.studies import find_study

    asked, settings = find_study(study), _configure(preset, config, source, changes)
    from search.ablation import tabulate
    from search.runner import plan, run_study

    if dry_run:
        for trial in plan(asked, settings, range(seeds)):
            typer.echo(f"{trial.label}\t{trial.config.digest()}")
        return
    store, name = _open(home, tracking_uri), name or study
    _follow(run_study(asked, settings, seeds=range(seeds), home=home, store=store, name=name, trials=trials))
    _print_study(tabulate(asked, name, store), name, home, store)


@app.command()
def studies(as_json: Json = False) -> None:
    """List the questions that are ready to be asked."""
    from search.studies import STUDIES

    if as_json:
        cells = {name: [cell.label for cell in study.cells()] for name, study in STUDIES.items()}
        typer.echo(json.dumps({name: {"question": STUDIES[name].question, "cells": cells[name]} for name in STUDIES}))
        return
    for name, study in STUDIES.items():
        typer.echo(f"{name}: {study.question}")
        typer.echo(f"    {len(study.cells())} settings: {', '.join(cell.label for cell in study.cells())}")
        typer.echo(f"    {study.run_time} at the quick preset on two CPU cores")


@app.command()
def table(
    study: Annotated[str, typer.Argument(help="Which study.")],
    form: Annotated[str, typer.Option("--format", help="md, latex, csv or html.")] = "md",
    name: Annotated[str | None, typer.Option(help="Name of the instance, if it was given one.")] = None,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Print the ablation table of a study from what the tracker holds."""
    from search.ablation import tabulate
    from search.inspect import render
    from search.studies import find_study

    typer.echo(render(tabulate(find_study(study), name or study, _open(home, tracking_uri)).table(), form), nl=False)


@app.command()
def runs(as_json: Json = False, home: Home = HOME, tracking_uri: Uri = None) -> None:
    """List tracked runs, newest last."""
    for run in _open(home, tracking_uri).runs():
        distance = next((value for key, value in run.metrics.items() if key.startswith("eval/fd_")), None)
        row = {"run_id": run.run_id, "kind": run.tags.get("sbldm.kind"), "status": run.status, "name": run.name}
        cells = [run.run_id[:8], row["kind"], run.status, run.name, "" if distance is None else f"{distance:.4g}"]
        typer.echo(json.dumps(row | {"fd": distance}) if as_json else "\t".join(str(cell) for cell in cells))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000, home: Home = HOME, tracking_uri: Uri = None
) -> None:
    """Open the MLflow pages of all runs on this machine."""
    from search.tracking import serve

    serve(_open(home, tracking_uri), port)


def main() -> None:
    """Run the command; a failure is one line on stderr and an exit code that tells its kind."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    signal.signal(signal.SIGTERM, _terminate)
    try:
        _check_neighbors()
        code = app(arguments, standalone_mode=False)
    except _Terminated:
        code = _say("stopped; the same command goes on", 75)
    except (KeyboardInterrupt, typer.Abort):
        code = _say("stopped; the same command goes on", 130)
    except Exception as error:
        if debug:
            raise
        code = _explain(error)
    sys.exit(code if isinstance(code, int) else 0)


class _Terminated(KeyboardInterrupt):
    """SIGTERM: stop as for Ctrl-C, but say so in the exit code."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _explain(error: Exception) -> int:
    for kind in type(error).__mro__:
        if kind.__name__ in EXIT_CODES:
            return _say(" ".join(str(error).split()), EXIT_CODES[kind.__name__])
    if hasattr(error, "format_message"):  # what the command line itself refuses
        return _say(error.format_message(), 2)
    return _say(f"unexpected {type(error).__name__}: {error}; add --debug for the trace", 1)


def _say(message: str, code: int) -> int:
    typer.echo(f"sbldm: {'error: ' if code not in {75, 130} else ''}{message}", err=True)
    return code


def _check_neighbors() -> None:
    """Refuse to run with a ``search`` or ``evaluation`` that another distribution put in the way."""
    from importlib.util import find_spec

    here = Path(__file__).resolve().parent
    for name in ("sbldm", "evaluation", "search"):
        found = find_spec(name)
        if found is None or found.origin is None or Path(found.origin).resolve().parent.parent != here:
            raise ImportError(f"package {name} is not sbldm's own; install sbldm into an environment of its own")


def _configure(preset: str, config: Path | None, source: str | None, changes: list[str] | None) -> "ExperimentConfig":
    from search.config import layer, override
    from search.locate import source_changes
    from search.presets import preset as find_preset
    from search.settings_file import read_settings

    settings = find_preset(preset)
    for more in (layer(read_settings(config)) if config else {}, source_changes(source) if source else {}):
        settings = override(settings, more)
    return override(settings, _pairs(changes))


def _pairs(changes: list[str] | None) -> dict[str, Any]:
    from search.settings_file import parse_pair

    return dict(parse_pair(change) for change in changes or [])


def _open(home: Path, uri: str | None) -> "MlflowStore":
    from search.tracking import MlflowStore

    return MlflowStore(home, uri)


def _follow(events: Generator[Any, None, R]) -> R:
    """Run to the end, telling on stderr how far it is: one line that moves on a terminal, plain lines in a pipe."""
    from search.progress import Narrator

    moves = sys.stderr.isatty()
    narrator = Narrator(every=0.0 if moves else 0.25)
    while True:
        try:
            line = narrator.tell(next(events))
        except StopIteration as finished:
            result: R = finished.value
            return result
        if line and (moves or not line.passing):
            end = "\r" if line.passing else "\n"
            sys.stderr.write(f"\033[K{line.text}{end}" if moves else f"{line.text}\n")
            sys.stderr.flush()


def _print_result(run_id: str, result: Any, as_json: bool) -> None:
    results: Mapping[str, Any] = result.results
    if as_json:
        numbers = {name: each.to_json() for name, each in results.items()}
        typer.echo(json.dumps({"run_id": run_id, "results": numbers, "numbers": result.numbers}, indent=2))
        return
    from evaluation import format_interval

    typer.echo(f"run {run_id}")
    for name, each in results.items():
        typer.echo(f"  {name:32} {format_interval(each)}")
    for name, path in result.pictures.items():
        typer.echo(f"  {name}: {path}")


def _print_study(ablation: Any, name: str, home: Path, store: "MlflowStore") -> None:
    from search.ablation import log_table
    from search.inspect import render

    typer.echo(render(ablation.table(), "md"), nl=False)
    for path in log_table(ablation, home, store):
        typer.echo(f"{path}", err=True)
    typer.echo(f"to compare the runs in MLflow: sbldm ui   (then open {store.link(name)})", err=True)


if __name__ == "__main__":
    main()
