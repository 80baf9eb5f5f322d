"""Draw the README's picture: real slices, their reconstructions, and generated slices of one run.

Command: ``python docs/draw_samples.py RUN_ID docs/samples.png [--mlruns DIR]``; about a minute on one CPU core.
"""

import argparse
from pathlib import Path

import torch

from evaluation import ImageSet, draw_grid, stand_alone
from search.cache import Cache
from search.measure import reconstruct, to_images
from search.progress import follow
from search.runs import find_data, open_run, sample_run
from search.tracking import MlflowStore

COLUMNS = 10
GENERATED_ROWS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_id")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--mlruns", type=Path, default=Path("mlruns"))
    arguments = parser.parse_args()
    cache = Cache(arguments.mlruns / "cache")
    run = open_run(arguments.run_id, cache=cache, store=MlflowStore(arguments.mlruns, must_exist=True))
    test = follow(find_data(run, cache)).data.test
    shown = test.select(torch.linspace(0, len(test) - 1, COLUMNS).round().long())
    samples = follow(sample_run(run, COLUMNS * GENERATED_ROWS, seed=0, cache=cache)).images
    rows = [to_images(shown).images, reconstruct(run.trained.model.codec, shown).images, samples]
    images: ImageSet = stand_alone(torch.cat(rows))
    draw_grid(images, arguments.picture, columns=COLUMNS)


if __name__ == "__main__":
    main()
