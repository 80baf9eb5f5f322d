"""Settings as people write them: a careful YAML reader, and ``key=value`` pairs."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from sbldm.errors import ConfigError

LARGEST_FILE_BYTES = 1_000_000
FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


class _Loader(yaml.SafeLoader):
    """YAML without aliases, tags, duplicate keys; ``1e-4`` is a number, as in YAML 1.2."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise ConfigError(f"line {event.start_mark.line + 1}: aliases are not allowed; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if key in seen:
                raise ConfigError(f"line {line}: duplicate key {key!r}, first on line {seen[key]}; keep one")
            seen[key] = line
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))


def parse_yaml(text: str) -> Any:
    """Return the value that this YAML describes, or say in one line what is wrong with it."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(f"line {line}: {error.problem}") from error
    except ConfigError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"not readable as YAML ({' '.join(str(error).split())})") from error


def read_settings(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file of settings."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ConfigError(f"{path}: a settings file must be below {LARGEST_FILE_BYTES} bytes")
        value = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of settings, but got {type(value).__name__}")
    return value


def parse_pair(text: str) -> tuple[str, Any]:
    """Return key and value of ``a.b=value``; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set expects key=value, but got {text!r}")
    return key.strip(), parse_yaml(value)
