"""Studies by name, or by the YAML file a user has written; a file holds values alone and is never run.

A file asks over a grid::

    name: dropout
    question: Does dropout change the quality of generated slices?
    axes:
      network.dropout: [0.0, 0.1, 0.2]
    baseline: network.dropout=0     # the first setting where it is left out
    base: {loss.kind: mse}          # changes that all settings share

or searches ranges, which say ``uniform``, ``log`` (two ends each) or ``choice`` (a list)::

    name: rates
    question: Which learning rate and prediction give the best slices?
    ranges:
      training.learning_rate: {log: [1e-4, 1e-2]}
      prediction: {choice: [x0, eps, v]}
    sampler: tpe                    # or nsga2, gp
    trials: 20
    objectives: {selection/fd: minimize, cost/seconds_per_image: minimize}
    prune: 0.2                      # stop a draw that its first seeds show to be beaten; 0 for never
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbldm.errors import ConfigError, RunError
from sbldm.spec import did_you_mean
from search.open_study import OPEN_STUDIES, OpenStudy
from search.settings_file import read_settings
from search.space import parse_range
from search.study import STUDIES, Study, label_cell

NEEDED = ("name", "question")
GRID = ("axes", "baseline", "base", "run_time")
OPEN = ("ranges", "base", "run_time", "sampler", "trials", "objectives", "constraints", "prune")
UNKNOWN_TIME = "unknown"


def find_question(name: str) -> Study | OpenStudy:
    """Return the grid or the search of this name, or that a YAML file of this path describes.

    Raises:
        RunError: there is none of this name.
        ConfigError: the file does not describe a study.
    """
    ready: dict[str, Study | OpenStudy] = {**STUDIES, **OPEN_STUDIES}
    if name in ready:
        return ready[name]
    if Path(name).suffix in (".py", ".ipynb"):
        raise ConfigError(f"{name}: a study is a YAML file, for settings cannot name code; write its axes as YAML")
    if Path(name).suffix in (".yaml", ".yml"):
        return read_study(Path(name))
    known = ", ".join(ready)
    raise RunError(f"no study {name!r}{did_you_mean(name, list(ready))}; known: {known}; or give the path of a .yaml")


def find_study(name: str) -> Study:
    """Return the grid of this name or path.

    Raises:
        RunError: it is no grid but a search over ranges, or there is none.
    """
    found = find_question(name)
    if isinstance(found, OpenStudy):
        raise RunError(f"study {found.name!r} searches ranges and has no grid of settings, but a grid is needed here")
    return found


def read_study(path: Path) -> Study | OpenStudy:
    """Return the study that a YAML file describes.

    Raises:
        ConfigError: a key is unknown (the nearest is named) or missing, or a value breaks a rule.
    """
    values = read_settings(path)
    if "axes" in values and "ranges" in values:
        raise ConfigError(f"{path}: give axes for a grid or ranges for a search, but not both")
    known = (*NEEDED, *(OPEN if "ranges" in values else GRID))
    try:
        _check_keys(values, known)
        _check_name(values["name"])
        return _open_study(values) if "ranges" in values else _grid(values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _check_keys(values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}{did_you_mean(str(key), known)}; known: {', '.join(known)}")
    missing = [key for key in (*NEEDED, "ranges" if "ranges" in known else "axes") if key not in values]
    if missing:
        raise ConfigError(f"a study needs {', '.join(missing)}")
    for key in ("name", "question", "baseline", "run_time", "sampler"):
        if not isinstance(values.get(key, ""), str):
            raise ConfigError(f"{key} must be text, but got {values[key]!r}")
    for key in ("axes", "ranges", "base", "objectives"):
        if not isinstance(values.get(key, {}), Mapping):
            raise ConfigError(f"{key} must be a mapping, but got {values[key]!r}")


def _check_name(name: str) -> None:
    if name in STUDIES or name in OPEN_STUDIES:
        raise ConfigError(f"name must not be that of a study that is ready to be asked, but got {name!r}")


def _grid(values: Mapping[str, Any]) -> Study:
    for path, each in values["axes"].items():
        if not isinstance(each, list) or not each:
            raise ConfigError(f"axis {path} must be a list of values, but got {each!r}")
    settings = {"base": {}, "run_time": UNKNOWN_TIME, **values}
    settings["axes"] = {str(path): tuple(each) for path, each in values["axes"].items()}
    if not settings["axes"]:
        raise ConfigError("axes must name one setting or more, but got none")
    return Study(**{"baseline": _first_label(settings["axes"]), **settings})


def _first_label(axes: Mapping[str, tuple[Any, ...]]) -> str:
    return label_cell({path: values[0] for path, values in axes.items()})


def _open_study(values: Mapping[str, Any]) -> OpenStudy:
    ranges = {str(path): parse_range(str(path), each) for path, each in values["ranges"].items()}
    return OpenStudy(**{"run_time": UNKNOWN_TIME, **values, "ranges": ranges})
