"""Settings of the benchmark; they decide nothing of the experiment whose generator it asks about."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from sbldm.spec import Spec

LEAST_SEEDS = 3


class BenchmarkSpec(Spec):
    """Say which segmenters are trained on how much of what; the defaults are the quick question."""

    arms: tuple[str, ...] = ()
    """What the segmenters are trained on; none named, every arm there is."""
    fractions: tuple[float, ...] = Field((0.1, 1.0), min_length=1)
    """Shares of the training patients that a segmenter, and the generator behind it, may see."""
    seeds: int = Field(LEAST_SEEDS, ge=1)
    """Trainings of each segmenter."""
    fewer_seeds: Literal["refused", "allowed"] = "refused"
    """Below three seeds the luck of a training is hardly told from a gain."""
    patients: Literal["shared", "per_seed"] = "shared"
    """shared: all seeds see the same patients at a fraction, so that one generator serves them all."""
    patients_seed: int = Field(0, ge=0)
    """Another seed deals the patients to the fractions anew."""
    synthetic_ratio: float = Field(1.0, gt=0, le=100)
    """Synthetic slices for each real one."""
    synthetic_slices: int | None = Field(None, ge=1)
    """So many synthetic slices at every fraction, whatever the ratio."""
    lesions: tuple[str, ...] = ("lesion",)
    """Classes that are counted as lesions too, where the data have them."""
    level: float = Field(0.95, gt=0, lt=1)
    """Confidence of all intervals."""
    workers: int | None = Field(None, ge=1)
    """Trainings at a time; by default one per core, or one per GPU."""

    @field_validator("fractions")
    @classmethod
    def _fractions_are_shares(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < fraction <= 1 for fraction in fractions) or len(set(fractions)) < len(fractions):
            raise ValueError(f"fractions must differ and lie in (0, 1], but got {fractions}")
        return tuple(sorted(fractions))

    @model_validator(mode="after")
    def _seeds_suffice(self) -> "BenchmarkSpec":
        if self.seeds < LEAST_SEEDS and self.fewer_seeds == "refused":
            raise ValueError(f"seeds must be {LEAST_SEEDS} or more, or fewer_seeds be allowed, but got {self.seeds}")
        return self

    def synthetic_count(self, real: int) -> int:
        """Return how many synthetic slices stand beside so many real ones."""
        return self.synthetic_slices or max(1, round(self.synthetic_ratio * real))
