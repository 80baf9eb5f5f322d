"""An experiment's settings, laid in order: preset, file, source of data, single changes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.config import ExperimentConfig, layer, override
from search.locate import source_changes
from search.presets import preset as find_preset
from search.settings_file import parse_pair, read_settings

__all__ = ["compose", "pairs", "source_changes"]


def compose(
    preset: str,
    file: Path | None,
    source: str | None,
    changes: Sequence[str] | None,
    *,
    planned: Mapping[str, Any] | None = None,
) -> ExperimentConfig:
    """Return the settings that a command line asks for; what comes later wins.

    Args:
        preset: name of a budget.
        file: YAML settings.
        source: a kind of source, or a folder.
        changes: ``key=value`` each.
        planned: what an experiment lays over the preset, before all else.
    """
    settings = override(find_preset(preset), planned or {})
    for more in (layer(read_settings(file)) if file else {}, source_changes(source) if source else {}):
        settings = override(settings, more)
    return override(settings, pairs(changes))


def pairs(changes: Sequence[str] | None) -> dict[str, Any]:
    """Return ``key=value`` texts as changes by dotted path."""
    return dict(parse_pair(change) for change in changes or [])
