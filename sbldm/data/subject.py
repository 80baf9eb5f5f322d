"""Who a slice belongs to."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Subject:
    """One patient of a source; all that a split ever sees of them.

    Attributes:
        id: unique inside the source, the same on every listing. It may identify a person, so it
            never leaves ``sbldm.data``: prepared data know patients by number.
    """

    id: str
