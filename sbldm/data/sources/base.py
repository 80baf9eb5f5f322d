"""What every data source answers: who is there, and what does one patient look like."""

from abc import abstractmethod
from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from sbldm.data.subject import Subject
from sbldm.data.volume import Volume
from sbldm.spec import Registry, Spec


class SourceSpec(Spec):
    """Say where patients come from; reading happens only when asked."""

    kind: str

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
