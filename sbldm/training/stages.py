"""The two stages: first the autoencoder on slices, then the network on their latents."""

import hashlib

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sbldm.data.slices import SliceSet
from sbldm.diffusion import CutMixSpec, Denoiser, LossSpec, cutmix, diffuse
from sbldm.model import ModelSpec
from sbldm.nn.autoencoders import autoencoder_loss, pack
from sbldm.seeding import generator
from sbldm.spec import digest_of
from sbldm.training.task import Task, batch_indices


class AutoencoderTask(Task):
    """Train an autoencoder on the training slices; its closed-form start is already set."""

    stage = "autoencoder"

    def __init__(self, spec: ModelSpec, train: SliceSet, *, seed: int) -> None:
        autoencoder = spec.build_autoencoder(seed)
        autoencoder.initialise(pack(train.images, train.labels, spec.classes))
        settings = spec.model_dump(mode="json", include={"size", "image_channels", "label_names", "autoencoder"})
        super().__init__(autoencoder, digest_of([settings, train.digest()]))
        self.autoencoder, self.spec, self.train = autoencoder, spec, train

    def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> Float[Tensor, ""]:
        """Return reconstruction and divergence of the step's slices."""
        rows = batch_indices(len(self.train), batch, step, seed=seed, stage=self.stage)
        x = pack(self.train.images[rows], self.train.labels[rows], self.spec.classes).to(device)
        posterior = self.autoencoder.encode(x)
        noise = torch.randn(posterior.mean.shape, generator=generator(seed, self.stage, "step", step)).to(device)
        decoded = self.autoencoder.decode(posterior.sample(noise))
        return autoencoder_loss(decoded, x, posterior, classes=self.spec.classes, spec=self.spec.autoencoder, step=step)


class DiffusionTask(Task):
    """Train the network on normalised latents of the training slices.

    Args:
        spec: the model to be.
        latents: as ``encode_latents`` returns them.
        positions: slice position of each latent, in [-1, 1].
        loss: compares estimate and truth, sample by sample.
        cutmix: how often latents are mixed; the network is told which.
        seed: of the network's first weights.
    """

    stage = "diffusion"

    def __init__(
        self,
        spec: ModelSpec,
        latents: Float[Tensor, "n z h w"],
        positions: Float[Tensor, " n"],
        *,
        loss: LossSpec,
        cutmix: CutMixSpec,
        seed: int,
    ) -> None:
        settings = [spec.model_dump(mode="json"), loss.model_dump(mode="json"), cutmix.model_dump(mode="json")]
        super().__init__(spec.build_network(seed), digest_of([*settings, _digest(latents), _digest(positions)]))
        self.latents, self.positions, self.cutmix, self.criterion = latents, positions, cutmix, loss
        self.denoiser = Denoiser(self.module, spec.schedule.build(), spec.prediction)

    def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> Float[Tensor, ""]:
        """Return the mean loss of the step's latents, each at a level and with noise of its own."""
        rows = batch_indices(len(self.latents), batch, step, seed=seed, stage=self.stage)
        draws = generator(seed, self.stage, "step", step)
        mixed = cutmix(self.latents[rows], self.positions[rows], self.cutmix, draws)
        schedule = self.denoiser.schedule
        t = torch.randint(1, schedule.timesteps + 1, (batch,), generator=draws).to(device)
        noise = torch.randn(mixed.latents.shape, generator=draws).to(device)
        clean, cues = mixed.latents.to(device), stack_cues(mixed.positions, mixed.flags).to(device)
        estimate = self.denoiser(diffuse(clean, noise, t, schedule), t, cues)
        return self.criterion.per_sample(estimate, clean, noise, t, schedule, self.denoiser.prediction).mean()


def stack_cues(positions: Float[Tensor, " b"], flags: Float[Tensor, " b"]) -> Float[Tensor, "b k"]:
    """Return what the network is told about each sample, in the order of ``CUES``."""
    return torch.stack([positions, flags], dim=1)


def _digest(tensor: Float[Tensor, "..."] | Int64[Tensor, "..."]) -> str:
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
