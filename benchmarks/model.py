"""Time training and sampling against MONAI and diffusers: same slices, by turns, in one process, on one thread.

    python benchmarks/model.py                 # about ten minutes at the debug configuration (64 px)
    python benchmarks/model.py --size paper --rounds 1 --steps 1 --images 2    # the full configuration: 128 px

Each line is CPU seconds of the peer over ours, the median of the rounds: above 1 ours is faster.

* step, as tutorials write it: ours on cached latents at its default precision, against the peers' own loops in float32
  that encode every batch with their KL autoencoder.
* step, equal: all on cached latents in float32. MONAI's network is ours, weights and all; diffusers' has its widths.
* sampling: DDIM-50 and decoding, each with its own autoencoder, and the U-Nets as above; ours in its default
  precision, which is bfloat16 for wide networks on a CPU with tiles for it, and in float32 like the peers.
* autoencoder: CPU seconds until held-out slices reach SSIM 0.85 and 25 dB; MONAI's with L1 and KL, as its tutorial.
"""

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from itertools import islice

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn

from evaluation import ImageSet, psnr, ssim
from sbldm.data import PhantomSpec, PrepareSpec, SplitSpec, prepare_data
from sbldm.diffusion import CutMixSpec
from sbldm.diffusion.losses.mse import MeanSquaredError
from sbldm.diffusion.samplers.ddim import Ddim
from sbldm.diffusion.schedules.linear import Linear
from sbldm.latent import encode_latents, measure_codec
from sbldm.model import LatentDiffusion, ModelSpec, generate
from sbldm.nn.autoencoders.patch import Patch
from sbldm.nn.networks.unet import UNet
from sbldm.training import AutoencoderTask, DiffusionTask, TrainingSpec, train

BATCH, LEVELS = 16, 1000
WORK = "tutorial", "equal", "sampling", "autoencoder"
WANTED_SSIM, WANTED_PSNR = 0.85, 25.0
SIZES = {
    "debug": {
        "side": 64,
        "latent": 32,
        "down": 8,
        "width": 32,
        "factors": (1, 2, 2),
        "blocks": 1,
        "vae": (32, 64, 128),
    },
    "paper": {
        "side": 128,
        "latent": 4,
        "down": 4,
        "width": 64,
        "factors": (1, 2, 4),
        "blocks": 2,
        "vae": (64, 128, 128),
    },
}


@dataclass
class Ours:
    """Our model on phantom slices, its autoencoder as it starts."""

    side: int
    latent: int
    down: int
    width: int
    factors: tuple
    blocks: int
    vae: tuple

    def __post_init__(self):
        source = PhantomSpec(patients=24, slices=8, size=self.side)
        split = SplitSpec(train=0.7, validation=0.05, test=0.25)
        self.data = prepare_data(source, prepare=PrepareSpec(size=self.side), split=split)
        self.spec = ModelSpec(
            size=self.side,
            label_names=self.data.train.label_names,
            autoencoder=Patch(
                latent_channels=self.latent,
                downsample=self.down,
                hidden_dims=self.vae,
                scaling="scalar",
                label_weight=0.1,
                pca_label_weight=0.3,
            ),
            network=UNet(model_channels=self.width, channel_mult=self.factors, num_res_blocks=self.blocks),
            schedule=Linear(timesteps=LEVELS),
            prediction="x0",
        )
        codec = AutoencoderTask(self.spec, self.data.train, seed=0).autoencoder
        self.codec = measure_codec(codec, self.data.train, self.spec.autoencoder.scaling)
        self.latents = encode_latents(self.codec, self.data.train)

    def records(self, precision):
        task = DiffusionTask(
            self.spec,
            self.latents,
            self.data.train.positions,
            loss=MeanSquaredError(),
            cutmix=CutMixSpec(),
            seed=0,
        )
        return train(task, TrainingSpec(steps=10_000, batch=BATCH, precision=precision), seed=0)

    def sample(self, images, precision):
        network = self.spec.build_network(0).requires_grad_(False)
        model = LatentDiffusion(self.spec, self.codec, network, self.data.train.positions)
        return list(generate(model, images, sampler=Ddim(steps=50, precision=precision), seed=0, batch=images))


def monai_unet(ours):
    return ours.spec.build_network(0).unet


def diffusers_unet(ours):
    from diffusers import UNet2DModel

    down = ["DownBlock2D"] * (len(ours.factors) - 1) + ["AttnDownBlock2D"]
    up = ["AttnUpBlock2D"] + ["UpBlock2D"] * (len(ours.factors) - 1)
    return UNet2DModel(
        sample_size=ours.side // ours.down,
        in_channels=ours.latent + 2,
        out_channels=ours.latent,
        layers_per_block=ours.blocks,
        block_out_channels=tuple(ours.width * factor for factor in ours.factors),
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        norm_num_groups=8,
        attention_head_dim=32,
    )


def monai_autoencoder(ours):
    from monai.networks.nets import AutoencoderKL

    return AutoencoderKL(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=ours.vae,
        latent_channels=ours.latent,
        num_res_blocks=2,
        norm_num_groups=16,
        attention_levels=(False,) * len(ours.vae),
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
    )


def diffusers_autoencoder(ours):
    from diffusers import AutoencoderKL

    blocks = len(ours.vae)
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=ours.vae,
        latent_channels=ours.latent,
        layers_per_block=2,
        norm_num_groups=16,
    )


class Peer:
    """A peer's training step and sampler as its tutorials write them, in float32."""

    def __init__(self, ours, unet, autoencoder, encode, decode, scheduler):
        self.ours, self.unet, self.autoencoder = ours, unet, autoencoder.eval().requires_grad_(False)
        self.encode, self.decode, self.scheduler = encode, decode, scheduler
        self.optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4)
        self.cues = torch.zeros(1, 2, *ours.latents.shape[2:])

    def predict(self, noisy, t):
        found = self.unet(torch.cat([noisy, self.cues.expand(len(noisy), -1, -1, -1)], 1), t)
        return getattr(found, "sample", found)

    def step(self, clean):
        noise, t = torch.randn_like(clean), torch.randint(0, LEVELS, (len(clean),))
        loss = nn.functional.mse_loss(self.predict(self.scheduler.add_noise(clean, noise, t), t), noise)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def tutorial_steps(self, count):
        for _ in range(count):
            rows = torch.randint(0, len(self.ours.data.train), (BATCH,))
            with torch.no_grad():
                latents = self.encode(self.ours.data.train.images[rows])
            side = self.ours.latents.shape[-1]
            self.step(nn.functional.adaptive_avg_pool2d(latents, side) if latents.shape[-1] != side else latents)

    def cached_steps(self, count):
        for _ in range(count):
            self.step(self.ours.latents[torch.randint(0, len(self.ours.latents), (BATCH,))])

    @torch.no_grad()
    def sample(self, images):
        self.scheduler.set_timesteps(50)
        noisy = torch.randn(images, *self.ours.latents.shape[1:])
        for t in self.scheduler.timesteps:
            found = self.scheduler.step(self.predict(noisy, t.expand(images)), t, noisy)
            noisy = found.prev_sample if hasattr(found, "prev_sample") else found[0]
        return self.decode(noisy)


def peers(ours):
    from diffusers import DDIMScheduler as TheirDdim
    from monai.networks.schedulers import DDIMScheduler

    ours_vae, theirs = monai_autoencoder(ours), diffusers_autoencoder(ours)
    return {
        "MONAI": Peer(
            ours,
            monai_unet(ours),
            ours_vae,
            ours_vae.encode_stage_2_inputs,
            ours_vae.decode_stage_2_outputs,
            DDIMScheduler(num_train_timesteps=LEVELS),
        ),
        "diffusers": Peer(
            ours,
            diffusers_unet(ours),
            theirs,
            lambda images: theirs.encode(images).latent_dist.sample(),
            lambda latents: theirs.decode(latents).sample,
            TheirDdim(num_train_timesteps=LEVELS),
        ),
    }


def cpu_seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(name, ours, theirs, rounds):
    """Print for each peer the median over rounds of its CPU seconds over ours, run by turns."""
    ours(), [call() for call in theirs.values()]
    ratios, spent = {peer: [] for peer in theirs}, []
    for _ in range(rounds):
        mine = cpu_seconds(ours)
        spent.append(mine)
        for peer, call in theirs.items():
            ratios[peer].append(cpu_seconds(call) / mine)
    for peer, found in ratios.items():
        spread = f"{min(found):.2f} to {max(found):.2f}"
        print(
            f"| {name} | {peer} | {statistics.median(spent):.2f} | {statistics.median(found):.2f} | {spread} |",
            flush=True,
        )


def until_good(step, rebuild, test, most):
    """Return CPU seconds of steps until held-out reconstructions are good, or None if they are not in time.

    They are looked at each time the seconds have grown by a tenth: a look may take longer than the steps.
    """
    spent = 0.0
    while spent < most:
        until = max(1.1 * spent, spent + 0.1)
        while spent < until:
            spent += cpu_seconds(step)
        rebuilt = ImageSet(((rebuild(test.images) + 1) / 2).clamp(0, 1), test.subjects)
        truth = ImageSet((test.images + 1) / 2, test.subjects)
        found = ssim(truth, rebuilt).point, psnr(truth, rebuilt).point
        if found[0] >= WANTED_SSIM and found[1] >= WANTED_PSNR:
            return spent, found
    return None, found


def race_autoencoders(ours, most):
    task = AutoencoderTask(ours.spec, ours.data.train, seed=0)
    records = train(task, TrainingSpec(steps=10_000, batch=8, learning_rate=2e-3, ema_decay=0.99), seed=0)

    def rebuild(images):
        codec = measure_codec(task.averaged, ours.data.train, ours.spec.autoencoder.scaling)
        return codec.decode(codec.encode(images, ours.data.test.labels)).images

    mine, found = until_good(lambda: list(islice(records, 2)), rebuild, ours.data.test, most)
    theirs = monai_autoencoder(ours)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=5e-5 * 10)

    def steps():
        for _ in range(2):
            images = ours.data.train.images[torch.randint(0, len(ours.data.train), (BATCH,))]
            rebuilt, mean, deviation = theirs(images)
            divergence = 0.5 * (mean**2 + deviation**2 - (deviation**2).log() - 1).sum((1, 2, 3)).mean()
            loss = nn.functional.l1_loss(rebuilt, images) + 1e-6 * divergence
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    with_grad = torch.no_grad()(lambda images: theirs.eval().reconstruct(images))
    other, reached = until_good(lambda: (theirs.train(), steps()), with_grad, ours.data.test, most)
    spent = f"{mine:.2f}" if mine else f"over {most:.0f}"
    words = f"{other / (mine or most):.1f}" if other else f"over {most / (mine or most):.1f}"
    if not other:
        words += f": SSIM {reached[0]:.2f}, {reached[1]:.1f} dB by then"
    print(f"| autoencoder to SSIM {found[0]:.2f}, {found[1]:.1f} dB | MONAI | {spent} | {words} | |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="debug")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="training steps of each round")
    parser.add_argument("--images", type=int, default=64, help="to sample in each round")
    parser.add_argument("--most", type=float, default=120.0, help="CPU seconds an autoencoder may take")
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK, help="what to time; all by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ours = Ours(**SIZES[options.size])
    others = peers(ours)
    print("| work | peer | ours, CPU s | peer / ours | rounds |\n|---|---|---|---|---|")
    default, equal = ours.records("auto"), ours.records("float32")
    n = options.steps
    if "tutorial" in options.work:
        compare(
            f"{n} training steps, as tutorials write them",
            lambda: list(islice(default, n)),
            {name: lambda peer=peer: peer.tutorial_steps(n) for name, peer in others.items()},
            options.rounds,
        )
    if "equal" in options.work:
        compare(
            f"{n} training steps, equal",
            lambda: list(islice(equal, n)),
            {name: lambda peer=peer: peer.cached_steps(n) for name, peer in others.items()},
            options.rounds,
        )
    if "sampling" in options.work:
        for words, precision in ((", default precision", "auto"), (", equal", "float32")):
            compare(
                f"{options.images} images by DDIM-50{words}",
                lambda precision=precision: ours.sample(options.images, precision),
                {name: lambda peer=peer: peer.sample(options.images) for name, peer in others.items()},
                options.rounds,
            )
    if "autoencoder" in options.work:
        race_autoencoders(ours, options.most)


if __name__ == "__main__":
    main()
