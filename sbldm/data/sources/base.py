"""What every data source answers: who is there, and what does one patient look like."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from jaxtyping import Float, UInt8
from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor

from sbldm.data.subject import Subject
from sbldm.data.volume import Volume
from sbldm.spec import Registry, Spec


@dataclass(frozen=True, eq=False)
class Shown:
    """A number as label maps show it.

    Attributes:
        values: one per slice, NaN where the slice cannot tell.
        unit: such as mm.
        how: one slice tells it, in words.
    """

    values: Float[Tensor, " n"]
    unit: str
    how: str


class SourceSpec(Spec):
    """Say where patients come from; reading happens only when asked."""

    younger: ClassVar[tuple[str, ...]] = ("conditions",)
    kind: str
    conditions: Path | None = None
    """CSV file of numbers the network is told: column patient, perhaps position, then one column per number."""

    @property
    def known_names(self) -> tuple[str, ...]:
        """Return the names of what the source itself knows of each slice; usually nothing."""
        return ()

    def measure(self, labels: UInt8[Tensor, "n h w"], positions: Float[Tensor, " n"]) -> dict[str, Shown]:
        """Return by name which conditions label maps show, real or generated ones; usually none."""
        return {}

    @property
    def knows_spacing(self) -> bool:
        """Return whether the millimetres of its volumes are true, not a stand-in."""
        return True

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """Return the names of classes 1.. (the background has none); empty when unlabelled."""

    @abstractmethod
    def subjects(self) -> tuple[Subject, ...]:
        """Return the patients in order of their ids.

        Raises:
            DataError: the data are absent or unsuitable; the message says how to get or mend them.
        """

    @abstractmethod
    def read(self, subject: Subject) -> Volume:
        """Return one patient's volume, or refuse it with a DataError that names the file and the rule."""

    def fingerprint(self) -> str:
        """Return what changes when the files change; settings alone decide a source that reads none."""
        return ""


SOURCES: Registry[SourceSpec] = Registry("source", SourceSpec)  # type: ignore[type-abstract]  # only its rivals are built
AnySource = Annotated[SerializeAsAny[SourceSpec], BeforeValidator(SOURCES.parse)]
