"""Time and memory of both trainings and of sampling against the side of a slice and the batch, on one thread.

    python benchmarks/growth.py                                   # the quick preset's model; about ten minutes
    python benchmarks/growth.py --preset t4 --sides 128 --batches 1 4

Each row is a process of its own, for memory once used stays in a process. Slices are noise: neither time nor memory
depends on what they show. Memory is the most that was resident, less what was so before the model was made; beside it
stands what ``sbldm train --dry-run`` foretells. The rate counts the operations of its forecast; products alone, so
it says how well a step fills the core, not what the core could do.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from sbldm.data import SliceSet
from sbldm.diffusion.samplers.ddim import Ddim
from sbldm.latent import measure_codec
from sbldm.model import LatentDiffusion, ModelSpec, generate
from sbldm.training import AutoencoderTask, DiffusionTask, train
from sbldm.training.cost import autoencoder_cost, network_cost
from sbldm.training.device import forget_peak_memory, peak_memory_bytes
from search.config import override
from search.presets import preset

CPU = torch.device("cpu")
WORK = "autoencoder", "network", "sampling"
STEPS, CALLS, WARM_SIDE = 3, 10, 32
LABELS = "csf", "gm", "wm"


@dataclass(frozen=True)
class Row:
    """One measurement; seconds are of one step, or of one image."""

    work: str
    side: int
    batch: int
    seconds: float
    flops: int
    bytes: int
    foretold_bytes: int


def measure(name, work, side, batch):
    """Return what this work takes here, in this process."""
    settings = {"prepare.size": side, "training.batch": batch, "autoencoder_training.batch": batch}
    config = override(preset(name), settings | {"data.size": side})
    spec = ModelSpec(
        size=side,
        label_names=LABELS,
        autoencoder=config.autoencoder,
        network=config.network,
        schedule=config.schedule,
        prediction=config.prediction,
    )
    slices = make_slices(side, max(batch, 16))
    before = resident_bytes()
    forget_peak_memory(CPU)
    if work == "sampling":
        seconds, flops, foretold = sample(spec, slices, batch), 0, 0
    else:
        seconds, cost = step(spec, config, slices, work)
        flops, foretold = cost.step_flops, cost.memory_bytes
    return Row(work, side, batch, seconds, flops, peak_memory_bytes(CPU) - before, foretold)


def make_slices(side, count):
    draw = torch.Generator().manual_seed(0)
    return SliceSet(
        images=torch.rand(count, 1, side, side, generator=draw) * 2 - 1,
        labels=torch.randint(0, len(LABELS) + 1, (count, side, side), generator=draw).to(torch.uint8),
        subjects=torch.arange(count),
        positions=torch.linspace(-1, 1, count),
        label_names=LABELS,
    )


def step(spec, config, slices, work):
    """Return CPU seconds of a training step after the first, and the forecast."""
    if work == "autoencoder":
        training, cost = config.autoencoder_training, autoencoder_cost
        task = AutoencoderTask(spec, slices, seed=0)
    else:
        training, cost = config.training, network_cost
        latents = torch.randn(len(slices), *spec.latent_shape)
        task = DiffusionTask(spec, latents, slices.positions, loss=config.loss, cutmix=config.cutmix, seed=0)
    records = train(task, training, seed=0, device=CPU)
    next(records)
    start = time.process_time()
    list(islice(records, STEPS))
    return (time.process_time() - start) / STEPS, cost(spec, training, CPU)


def sample(spec, slices, batch):
    """Return CPU seconds of an image by DDIM, decoding included."""
    codec = measure_codec(AutoencoderTask(spec, slices, seed=0).autoencoder, slices, spec.autoencoder.scaling)
    model = LatentDiffusion(spec, codec, spec.build_network(0).requires_grad_(False), slices.positions)
    start = time.process_time()
    list(generate(model, batch, sampler=Ddim(steps=CALLS), seed=0, batch=batch))
    return (time.process_time() - start) / batch


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def table(rows):
    """Return the rows as a Markdown table."""
    lines = ["| work | side | batch | CPU s | GFLOP/s | MiB | foretold MiB |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        known = row.flops > 0
        rate = f"{row.flops / row.seconds / 1e9:.0f}" if known else ""
        foretold = f"{row.foretold_bytes / 2**20:.0f}" if known else ""
        lines.append(
            f"| {row.work} | {row.side} | {row.batch} | {row.seconds:.3g} | {rate}"
            f" | {row.bytes / 2**20:.0f} | {foretold} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--sides", nargs="+", type=int, default=(64, 128, 256))
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 8, 32))
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK)
    parser.add_argument("--here", action="store_true", help="measure the first of each in this process, write JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.here:
        measure(options.preset, options.work[0], WARM_SIDE, 1)  # what is loaded at first use is not the model's
        row = measure(options.preset, options.work[0], options.sides[0], options.batches[0])
        print(json.dumps(asdict(row)))
        return
    rows = []
    for work in options.work:
        for side in options.sides:
            for batch in options.batches:
                print(f"{work} {side} {batch}", file=sys.stderr, flush=True)
                asked = ["--preset", options.preset, "--work", work, "--sides", str(side), "--batches", str(batch)]
                command = [sys.executable, __file__, "--here", *asked]
                out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                rows.append(Row(**json.loads(out.splitlines()[-1])))
    print(table(rows))


if __name__ == "__main__":
    main()
