"""The reproduction plan: each experiment is one file and one line here."""

from sbldm.errors import RunError
from sbldm.spec import did_you_mean
from search.reproduction.e1_1_reconstruction import RECONSTRUCTION
from search.reproduction.e1_2_sanity import SANITY
from search.reproduction.e1_3_ddim import DDIM
from search.reproduction.e2_1_gamma import GAMMA
from search.reproduction.e2_2_frequency import FREQUENCY
from search.reproduction.e2_3_cutmix import CUTMIX
from search.reproduction.e2_4_early_stop import EARLY_STOP
from search.reproduction.e3_1_full_vae import FULL_VAE
from search.reproduction.e3_2_full_diffusion import FULL_DIFFUSION
from search.reproduction.e3_3_benchmark import BENCHMARK
from search.reproduction.planned import Planned

__all__ = ["EXPERIMENTS", "Planned", "find_experiment"]

EXPERIMENTS: dict[str, Planned] = {
    planned.name: planned
    for planned in (
        RECONSTRUCTION,
        SANITY,
        DDIM,
        GAMMA,
        FREQUENCY,
        CUTMIX,
        EARLY_STOP,
        FULL_VAE,
        FULL_DIFFUSION,
        BENCHMARK,
    )
}


def find_experiment(name: str) -> Planned:
    """Return the experiment of this name.

    Raises:
        RunError: there is none.
    """
    if name not in EXPERIMENTS:
        hint = did_you_mean(name, list(EXPERIMENTS))
        raise RunError(f"no experiment {name!r}{hint}; known: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
