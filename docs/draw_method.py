"""Draw the schedules of docs/method.md, and measure how well a run's network foretells its own error.

Command: ``python docs/draw_method.py RUN_ID docs/schedules.png [--mlruns DIR]``; about a minute on one CPU core.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from evaluation import Table, to_markdown
from sbldm.data import SliceSet
from sbldm.diffusion import Denoiser, diffuse
from sbldm.diffusion.samplers.stopping import mean_square, relative_error
from sbldm.latent import encode_latents
from search.cache import Cache
from search.progress import follow
from search.runs import find_data, open_run
from search.schedules import choose_schedules, describe_schedules, plot_schedules
from search.tracking import MlflowStore

LOG_SNRS = (-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
TINY = torch.finfo(torch.float64).tiny
HEADER = ("log-SNR", "mean square of the noise estimate", "predicted error", "true error", "rank correlation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_id")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--mlruns", type=Path, default=Path("mlruns"))
    arguments = parser.parse_args()
    shown = (*choose_schedules(), *choose_schedules(gammas=[2.0], terminals=["match", "zero"]))
    print(to_markdown(describe_schedules(shown).table()))
    plot_schedules(shown, arguments.picture)
    cache = Cache(arguments.mlruns / "cache")
    run = open_run(arguments.run_id, cache=cache, store=MlflowStore(arguments.mlruns, must_exist=True))
    slices = follow(find_data(run, cache)).data.validation
    model = run.trained.model
    latents, denoiser = encode_latents(model.codec, slices), model.denoiser()
    print(to_markdown(foretell(denoiser, latents, slices)))


@torch.no_grad()
def foretell(denoiser: Denoiser, latents: Float[Tensor, "n z h w"], slices: SliceSet) -> Table:
    """Return predicted and true relative errors of the clean estimate, per level, as means over slices."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    cues = torch.stack([slices.positions, torch.zeros(len(slices))], dim=1)
    rows = []
    for wished in LOG_SNRS:
        level = 1 + int((denoiser.schedule.log_snr[1:] - wished).abs().argmin())
        t = torch.full((len(latents),), level)
        found = denoiser(diffuse(latents, noise, t, denoiser.schedule), t, cues)
        predicted = relative_error(found, float(denoiser.schedule.alpha_bar[level]))
        true = (mean_square(found.clean - latents) / mean_square(found.clean).clamp_min(TINY)).sqrt()
        ranks = torch.stack([each.argsort().argsort().double() for each in (predicted, true)])
        numbers = (mean_square(found.noise).mean(), predicted.mean(), true.mean(), torch.corrcoef(ranks)[0, 1])
        rows.append((f"{wished:g}", *(f"{float(number):.3g}" for number in numbers)))
    return Table("Error of the clean estimate", HEADER, tuple(rows))


if __name__ == "__main__":
    main()
