"""Did anything that was trained see a test patient? Checks by content, and a refusal where one of them fails."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sbldm.data import PreparedData
from sbldm.errors import DataError
from search.downstream.identity import Patient, Patients, identify, image_digest, shared, strangers

MIRRORED = (-1,)


@dataclass(frozen=True)
class Learner:
    """Something that was trained.

    Attributes:
        name: in words, such as ``autoencoder at 10 %``.
        allowed: the patients it may have seen.
        saw: the patients it recorded, or None where nothing was recorded.
        synthetic: digests of the synthetic slices it recorded.
    """

    name: str
    allowed: Patients
    saw: Patients | None
    synthetic: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Check:
    """One rule, how often it was looked at, and how often it was broken."""

    rule: str
    looked_at: int
    broken: int
    where: str = ""

    @property
    def holds(self) -> bool:
        """Return whether the rule was never broken."""
        return self.broken == 0


@dataclass(frozen=True)
class LeakAudit:
    """What was checked, and what no check of this kind can know."""

    checks: tuple[Check, ...]
    unknown: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Return whether every rule holds."""
        return all(check.holds for check in self.checks)

    def require(self) -> None:
        """Pass if every rule holds.

        Raises:
            DataError: a rule is broken; no number may be shown.
        """
        for check in self.checks:
            if not check.holds:
                raise DataError(
                    f"no table is shown, for the leakage audit fails: {check.rule}, but {check.broken} of"
                    f" {check.looked_at} do not hold{check.where}"
                )

    def sentences(self) -> tuple[str, ...]:
        """Return what was checked and what was not, for people."""
        counted = sum(check.looked_at for check in self.checks)
        verdict = "found no leak" if self.holds else "FOUND A LEAK"
        return (f"The leakage audit {verdict}: {len(self.checks)} rules, looked at {counted} times.", *self.unknown)

    def to_json(self) -> dict[str, Any]:
        """Return every check as JSON values."""
        checks = [{"rule": c.rule, "looked_at": c.looked_at, "broken": c.broken, "where": c.where} for c in self.checks]
        return {"holds": self.holds, "checks": checks, "unknown": list(self.unknown)}


def check_parts(data: PreparedData) -> Check:
    """Return whether each patient is in one part of the split only."""
    parts = [tuple(identify(part).values()) for part in (data.train, data.validation, data.test)]
    twice = sum(
        shared(part, [patient for other in parts[place + 1 :] for patient in other]) for place, part in enumerate(parts)
    )
    return Check("no slice may be in two parts of the split", sum(map(len, parts)), twice)


def check_learners(learners: Sequence[Learner], test: Iterable[Patient]) -> tuple[Check, ...]:
    """Return whether anything that was trained saw a test patient, or a patient that its fraction does not hold."""
    unseen = tuple(test)
    test_slices = frozenset().union(*(patient.slices for patient in unseen))
    silent = [(each.name, each.saw is None) for each in learners]
    tested = [(each.name, shared(each.saw or (), unseen) > 0) for each in learners]
    beyond = [(each.name, strangers(each.saw or (), each.allowed) > 0) for each in learners]
    copied = [(each.name, not each.synthetic.isdisjoint(test_slices)) for each in learners]
    return (
        _check("every model must have recorded whom it learned from", silent),
        _check("no model may learn from a test patient", tested),
        _check("no model may learn from a patient outside its fraction", beyond),
        _check("no synthetic slice learned from may equal a test slice", copied),
    )


def check_copies(
    name: str, synthetic: Float[Tensor, "n 1 h w"], test: Float[Tensor, "m 1 h w"], *, part: str = "test"
) -> Check:
    """Return whether any synthetic image is, at 8 bits, an image of a part or its mirror image; both in [0, 1]."""
    known = {image_digest(image) for image in test} | {image_digest(image.flip(MIRRORED)) for image in test}
    copies = sum(image_digest(image) in known for image in synthetic)
    where = f" ({name})" if copies else ""
    return Check(f"no synthetic slice may equal a {part} slice or its mirror image", len(synthetic), copies, where)


def _check(rule: str, broken: Sequence[tuple[str, bool]]) -> Check:
    names = [name for name, is_broken in broken if is_broken]
    return Check(rule, len(broken), len(names), f" ({', '.join(names[:3])})" if names else "")
