"""Settings: frozen, closed to unknown keys, hashable; and the registries that turn a ``kind`` into a rival."""

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, model_serializer, model_validator

from sbldm.errors import ConfigError

COMPLETE = {"complete": True}
"""Context in which settings are dumped with those that are not in use, so that each can be changed by its path."""


class Spec(BaseModel):
    """Describe one choice completely; equal settings have equal digests."""

    younger: ClassVar[tuple[str, ...]] = ()
    """Settings that others were used without: they are dumped where they differ from their default, and older settings
    so keep their digest."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for name, value in values.items():
                field = cls.model_fields.get(name)
                if isinstance(value, bool) and field and "bool" not in str(field.annotation):
                    raise ValueError(f"{name} must not be true or false, but got {value}")
        return values

    @model_serializer(mode="wrap")
    def _leave_out_unused(self, dump: Callable[[Any], dict[str, Any]], info: Any) -> dict[str, Any]:
        fields = {} if info.context == COMPLETE else type(self).model_fields
        unused = {name for name in self.younger if name in fields and getattr(self, name) == fields[name].default}
        return {name: value for name, value in dump(self).items() if name not in unused}

    def digest(self) -> str:
        """Return 16 hex digits that name these settings and no others."""
        return digest_of(self.model_dump(mode="json"))


def digest_of(value: object) -> str:
    """Return the first 16 hex digits of the SHA-256 of a value's canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


S = TypeVar("S", bound=Spec)


class Registry(Generic[S]):
    """Name the rivals of one family; a rival joins with one decorator line.

    Each rival is a Spec with a field ``kind: Literal["name"] = "name"``.
    """

    def __init__(self, family: str, base: type[S]) -> None:
        self.family = family
        self.base = base
        self._rivals: dict[str, type[S]] = {}

    def register(self, rival: type[S]) -> type[S]:
        """Add a rival under its ``kind``; refuse a kind that is taken."""
        kind = str(rival.model_fields["kind"].default)
        if kind in self._rivals:
            raise ValueError(
                f"{self.family} kinds must be unique, but {kind!r} is already {self._rivals[kind].__name__}"
            )
        self._rivals[kind] = rival
        return rival

    def kinds(self) -> tuple[str, ...]:
        """Return the registered kinds in order of registration."""
        return tuple(self._rivals)

    def __getitem__(self, kind: str) -> type[S]:
        """Return the rival of this kind, or say which kinds there are."""
        if kind in self._rivals:
            return self._rivals[kind]
        raise ConfigError(
            f"unknown {self.family} {kind!r}{did_you_mean(kind, self.kinds())}; known: {', '.join(self.kinds())}"
        )

    def parse(self, value: Any) -> S:
        """Turn ``{"kind": ..., ...}`` into its rival; pass a ready one through."""
        if isinstance(value, self.base):
            return value
        if not isinstance(value, Mapping) or "kind" not in value:
            raise ConfigError(
                f"{self.family} must be a mapping with a kind, one of {', '.join(self.kinds())}, but got {value!r}"
            )
        return self[str(value["kind"])].model_validate(dict(value))


def did_you_mean(word: str, known: tuple[str, ...] | list[str]) -> str:
    """Return ``" - did you mean 'x'?"`` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" - did you mean {near[0]!r}?" if near else ""
