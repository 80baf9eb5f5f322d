"""The ``sbldm`` command: parse, wire, print. Heavy imports stand inside the commands, so that help answers at once."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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

app = typer.Typer(
    name="sbldm",
    help="Train small latent diffusion models on medical slices and say, with intervals, which setting is better.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

cache_app = typer.Typer(
    help="List what the cache of stage outputs holds, and make room in it.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(cache_app, name="cache")

Preset = Annotated[str, typer.Option(help="Budget: quick, laptop, t4 or paper.")]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings, laid over the preset.")]
Data = Annotated[
    str | None, typer.Option("--data", help="A kind of source (phantom), or a folder of NIfTI or image files.")
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable.")]
Home = Annotated[Path, typer.Option("--mlruns", envvar="SBLDM_MLRUNS", help="Folder of databases, artifacts, cache.")]
Storage = Annotated[
    str | None, typer.Option(envvar="SBLDM_STORAGE", help="postgresql://USER@HOST/DATABASE, for many machines.")
]
Uri = Annotated[str | None, typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow server to use.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Format = Annotated[str, typer.Option("--format", help="md, latex, csv or html.")]
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
    from search.cache import Cache
    from search.compose import compose
    from search.inspect import describe, save_contact_sheet
    from search.progress import follow
    from search.stages import data_stage

    settings = compose(preset, config, source, changes)
    prepared = follow(data_stage(settings, Cache(home / "cache"))).data
    save_contact_sheet(prepared.train, out)
    summary = prepared.summary()
    typer.echo(json.dumps(summary | {"contact_sheet": str(out)}, indent=2) if as_json else describe(summary))
    if not as_json:
        typer.echo(f"contact sheet: {out}")


@app.command()
def schedule(
    gamma: Annotated[list[float] | None, typer.Option(help="A gamma schedule; repeatable.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="linear or cosine; repeatable. Usual ones by default.")] = None,
    terminal: Annotated[list[str] | None, typer.Option(help="free, match or zero; repeatable.")] = None,
    timesteps: Annotated[int, typer.Option(help="Noise levels.")] = 1000,
    steps: Annotated[int, typer.Option(help="Network calls of the sampler whose steps are counted.")] = 50,
    plot: Annotated[Path | None, typer.Option(help="Where to draw the curves, as PNG.")] = None,
    form: Format = "md",
    as_json: Json = False,
) -> None:
    """Say what noise schedules do before anything is trained: noise left at T, first noisy level, early steps."""
    from search.inspect import find_format
    from search.schedules import choose_schedules, describe_schedules, plot_schedules

    write = find_format(form)
    chosen = choose_schedules(
        gammas=gamma or (), kinds=kind or (), terminals=terminal or ("free",), timesteps=timesteps
    )
    found = describe_schedules(chosen, steps=steps)
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else write(found.table()), nl=as_json)
    if plot is not None:
        typer.echo(f"curves: {plot_schedules(chosen, plot)}", err=True)


@app.command()
def train(
    preset: Preset = "quick",
    config: Config = None,
    source: Data = None,
    changes: Set = None,
    name: Annotated[str, typer.Option(help="Name of the run.")] = "train",
    dry_run: DryRun = False,
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Train one model and evaluate it, as a tracked run; the same command goes on where it was stopped."""
    from search.compose import compose

    settings = compose(preset, config, source, changes)
    if dry_run:
        from search.dry_run import dry_run as foretell

        told = foretell(settings)
        typer.echo(json.dumps(told.to_json(), indent=2) if as_json else "\n".join(told.lines()))
        return
    from sbldm.training import choose_device, joined
    from search.cache import Cache
    from search.inspect import describe_result
    from search.progress import follow
    from search.runs import help_train, train_run
    from search.together import take_part

    cache = Cache(home / "cache")
    with joined(choose_device(settings.device)) as world:  # where torchrun starts several processes
        if not world.is_first:
            take_part(help_train(settings, cache))
            return
        store = _open(home, tracking_uri, must_exist=False)
        run_id, result = follow(train_run(settings, name=name, cache=cache, store=store))
    typer.echo(describe_result(run_id, result, None, as_json=as_json))


@app.command()
def sample(
    run_id: RunId,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other slices.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("samples"),
    condition: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="Ask for it, as volume=1200; repeatable.")
    ] = None,
    guidance: Annotated[float, typer.Option(min=0, help="Push towards the conditions; 0 is the model's own.")] = 0.0,
    volume: Annotated[bool, typer.Option("--volume", help="Whole volumes as NIfTI; the count is of volumes.")] = False,
    slices: Annotated[int | None, typer.Option(min=2, help="Slices of a volume; as in training by default.")] = None,
    changes: Set = None,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Generate slices with label maps (PNG grid and npz), or volumes (NIfTI, and how their slices hang together)."""
    from search.cache import Cache
    from search.compose import pairs
    from search.drawing import draw_slices, draw_volumes
    from search.runs import open_run
    from search.sampling import parse_conditions

    wanted, cache = parse_conditions(condition), Cache(home / "cache")
    run = open_run(run_id, cache=cache, store=_open(home, tracking_uri), changes=pairs(changes))
    draw = partial(draw_volumes, slices=slices) if volume else draw_slices
    typer.echo(draw(run, count, seed=seed, cache=cache, out=out, conditions=wanted, guidance=guidance))


@app.command()
def evaluate(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN_ID", help="Id of a run, or its beginning.")] = None,
    generated: Annotated[
        Path | None, typer.Option(help="Instead of a run: images of any generator (PNG, TIFF, npz, NIfTI).")
    ] = None,
    real: Annotated[
        str | None, typer.Option(help="What they are held against: such a folder too, or a source such as phantom.")
    ] = None,
    values: Annotated[
        str | None, typer.Option("--range", metavar="LOW,HIGH", help="Generated values that become 0 and 1.")
    ] = None,
    real_values: Annotated[
        str | None, typer.Option("--real-range", metavar="LOW,HIGH", help="The same for real values.")
    ] = None,
    patient_regex: Annotated[
        str, typer.Option(help="Its one group is the patient, in the path of a real file; else the folder is.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Where to copy the report, one HTML file that needs nothing else.")
    ] = None,
    preset: Preset = "quick",
    source: Data = None,
    changes: Set = None,
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Measure a run's model on its test patients, or any generator's images against real ones; write a report."""
    if (generated is None) == (run_id is None) or (generated is None) != (real is None):
        raise typer.BadParameter("give RUN_ID, or --generated with --real")
    from search.cache import Cache
    from search.compose import compose, pairs, source_changes
    from search.measuring import measure_outside, measure_run
    from search.outside import reading

    cache = Cache(home / "cache")
    if generated is not None and real is not None:
        readings, settings = (
            (reading(values), reading(real_values, patient_regex)),
            compose(preset, None, source, changes),
        )
        typer.echo(measure_outside(generated, real, readings, config=settings, cache=cache, out=out, as_json=as_json))
        return
    moved = (source_changes(source) if source else {}) | pairs(changes)
    store = _open(home, tracking_uri)
    typer.echo(measure_run(str(run_id), moved, cache=cache, store=store, out=out, as_json=as_json))


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN_A RUN_B ...", help="Ids of runs; the first is the baseline.")
    ],
    level: Annotated[float | None, typer.Option(help="Confidence; the baseline's own by default.")] = None,
    form: Format = "md",
    changes: Set = None,
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Say which run is better, by how much, and where the data cannot tell; p-values hold for the whole table."""
    from search.cache import Cache
    from search.comparison import compare_runs
    from search.compose import pairs
    from search.inspect import describe_findings
    from search.progress import follow

    cache, store = Cache(home / "cache"), _open(home, tracking_uri)
    found = follow(compare_runs(runs, cache=cache, store=store, level=level, changes=pairs(changes)))
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else describe_findings(found, form), nl=as_json)


@app.command()
def power(
    runs: Annotated[list[str], typer.Argument(metavar="RUN ...", help="Runs of one setting, or of two, at any seeds.")],
    difference: Annotated[float | None, typer.Option(help="The difference that is to be found.")] = None,
    patients: Annotated[int | None, typer.Option(min=2, help="Real test patients planned; as now by default.")] = None,
    samples: Annotated[int | None, typer.Option(min=2, help="Generated samples planned.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings per setting planned.")] = None,
    metric: Annotated[str | None, typer.Option(help="Distance to plan for: fd, population_fd or kid.")] = None,
    chance: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of finding a difference that is there.")] = 0.8,
    form: Format = "md",
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Plan an experiment: which difference these counts resolve, and how many would resolve a given one."""
    from search.cache import Cache
    from search.inspect import describe_findings
    from search.planning import PlannedCounts, power_of_runs
    from search.progress import follow

    cache, store = Cache(home / "cache"), _open(home, tracking_uri)
    counts = PlannedCounts(patients, samples, seeds)
    found = follow(
        power_of_runs(runs, cache=cache, store=store, wanted=difference, power=chance, counts=counts, metric=metric)
    )
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else describe_findings(found, form), nl=as_json)


@app.command()
def search(
    study: Annotated[str, typer.Option(help="Which question: one that `sbldm studies` lists, or a YAML file.")],
    preset: Preset = "quick",
    config: Config = None,
    source: Data = None,
    changes: Set = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Each setting is run with so many seeds; 2 in a grid, 1 in a search.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Of a grid: stop after so many. Of a search: draws in all.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="2h30m", help="Then commit and leave; the same command goes on.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of this instance of the study.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes at a time: a GPU each, or a share of the threads.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Where they run: local, or ray for a Ray cluster.")] = "local",
    storage: Storage = None,
    dry_run: DryRun = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Run or resume a study: a grid of settings or a search over ranges, each trial tracked; then print its table."""
    from search.open_study import OpenStudy, shorten
    from search.studies import find_question

    asked = find_question(study)  # before the libraries that take seconds
    from search.backends import find_backend
    from search.compose import compose
    from search.conclude import end_study
    from search.part import parse_duration
    from search.progress import follow
    from search.runner import check_name, check_study, describe_plan, run_study
    from search.storage import check_storage

    name, seconds = check_name(name or asked.name), None if timeout is None else parse_duration(timeout)
    asked = shorten(asked, trials) if isinstance(asked, OpenStudy) else asked
    settings = compose(preset, config, source, changes)
    seeds = seeds or (1 if isinstance(asked, OpenStudy) else 2)
    check_study(asked, settings, range(seeds))
    if dry_run:
        typer.echo("\n".join(describe_plan(asked, settings, range(seeds))))
        return
    check_storage(storage)
    find_backend(backend).check(storage, tracking_uri or "sqlite:")
    store = _open(home, tracking_uri, must_exist=False)
    follow(
        run_study(
            asked,
            settings,
            seeds=range(seeds),
            home=home,
            store=store,
            name=name,
            trials=trials,
            workers=workers,
            storage=storage,
            timeout=seconds,
            backend=backend,
        )
    )
    ended = end_study(asked, name, home, store)
    typer.echo(ended.table, nl=False)
    typer.echo(ended.words, err=True)


@app.command()
def benchmark(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help="Id of a run, or its beginning.")] = None,
    synthetic: Annotated[
        Path | None, typer.Option(help="Folder or npz of any generator's images and label maps, instead of a run's.")
    ] = None,
    real: Annotated[str | None, typer.Option(help="With --synthetic: a kind of source, or a folder.")] = None,
    values: Annotated[
        str | None, typer.Option("--range", metavar="LOW,HIGH", help="Values that mean black and white, if floating.")
    ] = None,
    fraction: Annotated[list[float] | None, typer.Option(help="Share of the training patients; repeatable.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each segmenter; 3 or more.")] = 3,
    ratio: Annotated[float, typer.Option(help="Synthetic slices for each real one.")] = 1.0,
    arm: Annotated[list[str] | None, typer.Option(help="What to train on; repeatable. All by default.")] = None,
    lesion: Annotated[list[str] | None, typer.Option(help="Class whose spots are counted; repeatable.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps of every segmenter.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Of segmentation_models_pytorch.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Of segmentation_models_pytorch.")] = None,
    segmenter: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Change one setting of the segmenters; repeatable.")
    ] = None,
    encoder_weights: Annotated[Path | None, typer.Option(help="Local state dict; none by default.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Trainings at a time; one per core or GPU.")] = None,
    preset: Preset = "quick",
    changes: Set = None,
    form: Format = "md",
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Ask whether synthetic slices improve a segmenter: arms of equal budget, patients never leaked, gains tested."""
    if (synthetic is None) == (run_id is None) or (synthetic is None) != (real is None):
        raise typer.BadParameter("give RUN_ID, or --synthetic with --real")
    from search.cache import Cache
    from search.compose import compose, pairs
    from search.downstream.ask import ask_files, ask_run, choose_segmenters, choose_spec
    from search.inspect import find_format
    from search.outside import reading

    find_format(form)
    spec = choose_spec(
        arms=arm, fractions=fraction, seeds=seeds, synthetic_ratio=ratio, lesions=lesion, workers=workers
    )
    asked_for = {"steps": steps, "architecture": architecture, "encoder": encoder} | pairs(segmenter)
    segmenters = choose_segmenters(spec, preset=preset, encoder_weights=encoder_weights, **asked_for)
    cache, store = Cache(home / "cache"), _open(home, tracking_uri, must_exist=synthetic is None)
    shown = "json" if as_json else form
    if synthetic is not None and real is not None:
        settings, read = compose(preset, None, None, changes), reading(values)
        typer.echo(
            ask_files(synthetic, real, read, spec, segmenters, config=settings, cache=cache, store=store, form=shown)
        )
        return
    typer.echo(ask_run(str(run_id), pairs(changes), spec, segmenters, cache=cache, store=store, form=shown))


@app.command()
def studies(as_json: Json = False) -> None:
    """List the questions that are ready to be asked."""
    from search.inspect import describe_studies

    typer.echo(describe_studies(as_json=as_json))


@app.command()
def experiment(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[E1.1 ...]", help="Of the reproduction plan; listed where none is.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Budget; each experiment's own by default.")] = None,
    config: Config = None,
    source: Data = None,
    changes: Set = None,
    seeds: Annotated[int, typer.Option(min=1, help="Of experiments that run a study.")] = 2,
    workers: Annotated[int, typer.Option(min=1, help="Processes of experiments that run a study.")] = 1,
    max_hours: Annotated[float, typer.Option(min=0, help="Refuse what takes longer on a CPU.")] = 12,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 8 unless every verdict is pass.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Run or resume experiments of the reproduction plan, and say of each criterion whether it is met."""
    from search.reproduction.asking import answer, check_time, describe_foretold, describe_plan, request

    asked = [request(name, preset, config, source, changes) for name in names or ()]
    if dry_run or not asked:
        told = describe_foretold(asked, seeds=seeds, as_json=as_json) if asked else describe_plan(as_json=as_json)
        typer.echo(told)
        return
    check_time(asked, seeds=seeds, most_hours=max_hours)
    store, found = _open(home, tracking_uri, must_exist=False), []
    for outcome in answer(asked, home=home, store=store, seeds=seeds, workers=workers):
        found.append(outcome)
        if not as_json:
            typer.echo(outcome.text())
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in found], indent=2))
    if strict and any(each.verdict != "pass" for each in found):
        raise typer.Exit(8)


@app.command()
def table(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY ...", help="Studies, instances of them by name, or YAML files.")
    ],
    form: Format = "md",
    name: Annotated[str | None, typer.Option(help="Name of the instance, if one study was given another.")] = None,
    family: Annotated[
        str, typer.Option(help="p-values hold over each study's comparisons (study), or all of the table's (table).")
    ] = "study",
    figure: Annotated[Path | None, typer.Option(help="Where to draw all intervals, as .png and .svg.")] = None,
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Print the ablation table of a study, or one of several, from what the tracker holds."""
    from search.studies import find_question

    if not tracking_uri and not (home / "mlflow.db").exists():
        for word in studies:
            find_question(word)  # before the libraries that take seconds
    from search.tables import print_tables

    store = _open(home, tracking_uri)
    told = print_tables(studies, store, name=name, form=form, family=family, figure=figure, as_json=as_json)
    typer.echo(told, nl=as_json)


@app.command()
def runs(as_json: Json = False, home: Home = HOME, tracking_uri: Uri = None) -> None:
    """List tracked runs, newest last."""
    from search.inspect import describe_runs

    typer.echo(describe_runs(_open(home, tracking_uri).runs(), as_json=as_json))


@app.command()
def ui(
    study: Annotated[str | None, typer.Argument(help="Which study's page to name; all by default.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Run the MLflow pages of all runs on this machine, and print the address of a study's page of charts."""
    from search.tracking import serve, show_studies

    store = _open(home, tracking_uri)
    typer.echo("\n".join(show_studies(store, study, port)))
    serve(store, port)


@app.command()
def sync(storage: Storage = None, home: Home = HOME, tracking_uri: Uri = None) -> None:
    """Complete the record of what ran while the tracking store was away, or was killed; safe to repeat."""
    from search.sync import synchronize

    typer.echo("\n".join(synchronize(home, _open(home, tracking_uri), storage).lines()))


@cache_app.command("ls")
def cache_ls(as_json: Json = False, form: Format = "md", home: Home = HOME, tracking_uri: Uri = None) -> None:
    """List stage outputs with their size, age and state, and the runs that name them."""
    from search.cache import Cache
    from search.inspect import find_format
    from search.shelf import list_shelf

    write, shelf = find_format(form), list_shelf(Cache(home / "cache"), _open(home, tracking_uri).runs())
    typer.echo(json.dumps(shelf.to_json(), indent=2) if as_json else write(shelf.table()), nl=as_json)


@cache_app.command("gc")
def cache_gc(
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Whole outputs go too, if they are so old.")
    ] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="Whole outputs go too, if no tracked run names them.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    home: Home = HOME,
    tracking_uri: Uri = None,
) -> None:
    """Remove broken and unfinished stage outputs that nobody works at; whole ones where every condition given holds."""
    from search.cache import Cache
    from search.clearing import clear_shelf

    cleared = clear_shelf(
        Cache(home / "cache"),
        _open(home, tracking_uri).runs(),
        older_than_seconds=None if older_than is None else older_than * 86400,
        unused=unused,
        dry_run=dry_run,
    )
    typer.echo(json.dumps(cleared.to_json(), indent=2) if as_json else "\n".join(cleared.lines()))


def main() -> None:
    """Run the command; a failure is one line on stderr and an exit code that tells its kind."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        _check_neighbors()
        code = app(arguments, standalone_mode=False)
        if code == 130:  # Ctrl-C before anything was under way
            _say("stopped", 130)
    except (KeyboardInterrupt, typer.Abort):
        code = _say("stopped; the same command goes on", 130)
    except Exception as error:
        if debug:
            raise
        code = _explain(error)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception) -> int:
    if type(error).__name__ == "Stopped":
        return _say(str(error), int(getattr(error, "exit_code", 130)))
    for kind in type(error).__mro__:
        if kind.__name__ in EXIT_CODES:
            return _say(" ".join(str(error).split()), EXIT_CODES[kind.__name__])
    if hasattr(error, "format_message"):  # what the command line itself refuses
        return _say(error.format_message(), 2)
    return _say(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}; add --debug for the trace", 1)


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


def _open(home: Path, uri: str | None, *, must_exist: bool = True) -> "MlflowStore":
    from search.tracking import MlflowStore

    return MlflowStore(home, uri, must_exist=must_exist, may_wait=not must_exist)


if __name__ == "__main__":
    main()
