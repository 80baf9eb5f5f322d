"""The two stages: first the autoencoder on slices, then the network on their latents."""

import hashlib

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sbldm.data.slices import SliceSet
from sbldm.diffusion import CutMixSpec, Denoiser, LossSpec, Mixed, TrainingLevelsSpec, Uniform, cutmix, diffuse
from sbldm.model import Conditioner, ConditioningSpec, ModelSpec, forget_conditions
from sbldm.nn.autoencoders import autoencoder_loss, class_weights, pack
from sbldm.seeding import generator
from sbldm.spec import digest_of
from sbldm.training.task import Task, batch_indices

EVERY_TENTH = ConditioningSpec()
ALL_ALIKE = Uniform()


class AutoencoderTask(Task):
    """Train an autoencoder on the training slices; its closed-form start is already set."""

    stage = "autoencoder"

    def __init__(self, spec: ModelSpec, train: SliceSet, *, seed: int) -> None:
        autoencoder = spec.build_autoencoder(seed)
        packed = pack(train.images, train.labels, spec.classes)
        autoencoder.initialise(packed)
        settings = spec.model_dump(mode="json", include={"size", "image_channels", "label_names", "autoencoder"})
        super().__init__(autoencoder, digest_of([settings, train.without_conditions().digest()]))
        self.autoencoder, self.spec, self.train = autoencoder, spec, train
        self.weights = class_weights(packed[:, train.images.shape[1] :], spec.autoencoder.label_balance)

    def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> Float[Tensor, ""]:
        """Return reconstruction and divergence of the step's slices."""
        rows = batch_indices(len(self.train), batch, step, seed=seed, stage=self.stage)
        x = pack(self.train.images[rows], self.train.labels[rows], self.spec.classes).to(device)
        posterior = self.autoencoder.encode(x)
        noise = torch.randn(posterior.mean.shape, generator=generator(seed, self.stage, "step", step)).to(device)
        decoded = self.autoencoder.decode(posterior.sample(noise))
        spec = self.spec.autoencoder
        return autoencoder_loss(
            decoded, x, posterior, classes=self.spec.classes, spec=spec, step=step, weights=self.weights
        )


class DiffusionTask(Task):
    """Train the network on normalised latents of the training slices.

    Args:
        spec: the model to be.
        latents: as ``encode_latents`` returns them.
        positions: slice position of each latent, in [-1, 1].
        loss: compares estimate and truth, sample by sample.
        cutmix: how often latents are mixed; the network is told which.
        seed: of the network's first weights.
        conditioner: conditions of each latent, where the model has any.
        conditioning: how often they are withheld.
        levels: how often each noise level is seen.
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
        conditioner: Conditioner | None = None,
        conditioning: ConditioningSpec = EVERY_TENTH,
        levels: TrainingLevelsSpec = ALL_ALIKE,
    ) -> None:
        told = [conditioner.digest(), conditioning.model_dump(mode="json")] if conditioner else []
        settings = [spec.model_dump(mode="json"), loss.model_dump(mode="json"), cutmix.model_dump(mode="json")]
        told += [levels.model_dump(mode="json")] * (levels != ALL_ALIKE)
        network = spec.build_network(seed)
        spec.skip.fit(network, latents, positions)
        super().__init__(network, digest_of([*settings, _digest(latents), _digest(positions), *told]))
        self.latents, self.positions, self.cutmix, self.criterion = latents, positions, cutmix, loss
        self.conditioner, self.conditioning, self.levels = conditioner, conditioning, levels
        self.denoiser = Denoiser(self.module, spec.schedule.build(), spec.prediction)

    def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> Float[Tensor, ""]:
        """Return the mean loss of the step's latents, each at a level and with noise of its own."""
        rows = batch_indices(len(self.latents), batch, step, seed=seed, stage=self.stage)
        draws = generator(seed, self.stage, "step", step)
        mixed = cutmix(self.latents[rows], self.positions[rows], self.cutmix, draws)
        schedule = self.denoiser.schedule
        t = self.levels.draw(batch, schedule, draws).to(device)
        noise = torch.randn(mixed.latents.shape, generator=draws).to(device)
        cues = stack_cues(mixed.positions, mixed.flags)
        if self.conditioner:
            told = self.conditioner.encode(self.conditioner.rows.values[rows])
            cues = self._withhold(torch.cat([cues, told], dim=1), rows, mixed, step, seed)
        clean, cues = mixed.latents.to(device), cues.to(device)
        estimate = self.denoiser(diffuse(clean, noise, t, schedule), t, cues)
        return self.criterion.per_sample(estimate, clean, noise, t, schedule, self.denoiser.prediction).mean()

    def _withhold(
        self, cues: Float[Tensor, "b k"], rows: Int64[Tensor, " b"], mixed: Mixed, step: int, seed: int
    ) -> Float[Tensor, "b k"]:
        """Take the conditions from some samples by chance, and from all that show two patients."""
        chance = torch.rand(len(cues), generator=generator(seed, self.stage, "conditions", step))
        of_two = (mixed.latents != self.latents[rows]).flatten(1).any(1)
        silent = (chance < self.conditioning.dropout) | of_two
        return torch.where(silent[:, None], forget_conditions(cues), cues)


def stack_cues(positions: Float[Tensor, " b"], flags: Float[Tensor, " b"]) -> Float[Tensor, "b k"]:
    """Return what the network is told about each sample beside conditions, in the order of ``CUES``."""
    return torch.stack([positions, flags], dim=1)


def _digest(tensor: Float[Tensor, "..."] | Int64[Tensor, "..."]) -> str:
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
