from collections.abc import Callable

import pytest
import torch

from sbldm.data.slices import SliceSet
from sbldm.diffusion import LOSSES, CutMixSpec, NoisePredictor
from sbldm.diffusion.training_levels import LogNormal
from sbldm.latent import encode_latents, measure_codec
from sbldm.model import ModelSpec
from sbldm.nn.autoencoders import pack, reconstruction_loss
from sbldm.training import AutoencoderTask, DiffusionTask, TrainingSpec, train, validation_loss
from sbldm.training.stages import stack_cues

CPU = torch.device("cpu")


def test_training_the_autoencoder_improves_on_pca(
    disks: SliceSet, make_autoencoder: Callable[..., AutoencoderTask]
) -> None:
    task = make_autoencoder()
    x = pack(disks.images, disks.labels, disks.classes)

    @torch.no_grad()
    def error() -> float:
        autoencoder = task.averaged
        assert isinstance(autoencoder, type(task.autoencoder))
        return float(reconstruction_loss(autoencoder.decode(autoencoder.encode(x).mean), x, 2, task.spec.autoencoder))

    before = error()
    for _ in train(task, TrainingSpec(steps=30, batch=12, learning_rate=3e-3, ema_decay=0.9), seed=0, device=CPU):
        pass
    assert error() < 0.9 * before


def test_training_the_network_lowers_the_validation_loss_at_middling_noise(
    make_diffusion: Callable[..., DiffusionTask],
) -> None:
    task = make_diffusion(mixed=0.0, network={"kind": "plain", "model_channels": 16, "blocks": 1})
    cues = stack_cues(task.positions, torch.zeros(len(task.positions)))

    def errors() -> list[float]:
        task.denoiser.predictor.eval()  # type: ignore[attr-defined]
        found = validation_loss(task.denoiser, task.latents, cues, seed=1)
        return [each.clean_error for each in found if each.low >= -4 and each.high <= 4]

    before = errors()
    spec = TrainingSpec(steps=100, batch=16, learning_rate=5e-3, warmup_steps=10, schedule="cosine")
    losses = [record.loss for record in train(task, spec, seed=0, device=CPU)]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    assert len(before) == 4
    assert all(after < 0.9 * was for after, was in zip(errors(), before, strict=True))


def test_a_true_denoiser_has_the_least_loss_and_a_blind_one_more(make_diffusion: Callable[..., DiffusionTask]) -> None:
    """Latents are exactly N(0, 1) here, so the best v-prediction is 0 and its loss is that of a standard normal."""
    latents = torch.randn(400, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    task = make_diffusion(latents=latents, mixed=0.0)
    task.criterion = LOSSES.parse({"kind": "mse"})
    found = float(task.loss(1, batch=400, seed=0, device=CPU).detach())  # the untrained network predicts 0
    assert found == pytest.approx(1.0, abs=0.05)  # 19200 values: standard error 0.01
    task.module.get_submodule("head")[-1].bias.data.fill_(1.0)  # type: ignore[index]
    assert float(task.loss(1, batch=400, seed=0, device=CPU).detach()) == pytest.approx(2.0, abs=0.1)


def test_the_network_is_told_positions_and_mixing(make_diffusion: Callable[..., DiffusionTask]) -> None:
    told: list[torch.Tensor] = []
    for mixed in (0.0, 1.0):
        task = make_diffusion(mixed=mixed)
        assert isinstance(task.module, NoisePredictor)
        task.module.register_forward_pre_hook(lambda module, arguments: told.append(arguments[2]))
        task.loss(1, batch=16, seed=0, device=CPU)
    assert set(told[0][:, 0].tolist()) <= set(make_diffusion().positions.tolist())
    assert told[0][:, 1].sum() == 0
    assert told[1][:, 1].sum() > 10


def test_levels_and_noise_are_drawn_anew_each_step(make_diffusion: Callable[..., DiffusionTask]) -> None:
    task = make_diffusion()
    seen: list[torch.Tensor] = []
    task.module.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[1]))
    losses = [float(task.loss(step, batch=32, seed=0, device=CPU).detach()) for step in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]
    levels = torch.cat(seen)
    assert levels.min() >= 1
    assert levels.max() <= 50
    assert len(levels.unique()) > 25


def test_data_and_settings_name_the_task(
    make_diffusion: Callable[..., DiffusionTask], make_spec: Callable[..., ModelSpec], disks: SliceSet
) -> None:
    spec, latents, positions = make_spec(), make_diffusion().latents, make_diffusion().positions
    mse, radial = LOSSES.parse({"kind": "mse"}), LOSSES.parse({"kind": "radial"})

    def digest(**changes: object) -> str:
        arguments = {"spec": spec, "latents": latents, "positions": positions, "loss": mse, "cutmix": CutMixSpec()}
        return DiffusionTask(**{**arguments, **changes}, seed=0).digest  # type: ignore[arg-type]

    digests = [
        digest(),
        digest(latents=latents + 1e-6),
        digest(positions=positions.flip(0)),
        digest(loss=radial),
        digest(cutmix=CutMixSpec(probability=0.1)),
        digest(spec=make_spec(prediction="x0")),
    ]
    assert len(set(digests)) == 6
    assert digest() == digests[0]
    assert AutoencoderTask(spec, disks, seed=0).digest != AutoencoderTask(spec, disks.select(slice(3)), seed=0).digest


def test_both_stages_join_into_latents_of_unit_spread(
    disks: SliceSet, make_autoencoder: Callable[..., AutoencoderTask]
) -> None:
    task = make_autoencoder()
    for _ in train(task, TrainingSpec(steps=5, learning_rate=1e-3), seed=0, device=CPU):
        pass
    codec = measure_codec(task.averaged, disks, "half")  # type: ignore[arg-type]
    assert float(encode_latents(codec, disks).std()) == pytest.approx(1, abs=0.02)


def test_training_draws_its_levels_by_the_law(
    make_diffusion: Callable[..., DiffusionTask], make_spec: Callable[..., ModelSpec]
) -> None:
    """Levels of log-SNR 4 and more are rare among uniform draws of this schedule, and all that a narrow law makes."""
    plain = make_diffusion(mixed=0.0)
    law = LogNormal(center=6.0, spread=0.5, uniform_share=0)

    def levels(task: DiffusionTask) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        task.module.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[1]))
        task.loss(1, batch=32, seed=0, device=CPU)
        return task.denoiser.schedule.log_snr[seen[0]]

    spec, mse = make_spec(), LOSSES.parse({"kind": "mse"})
    arguments = (spec, plain.latents, plain.positions)
    narrow = DiffusionTask(*arguments, loss=mse, cutmix=CutMixSpec(), seed=0, levels=law)
    usual = DiffusionTask(*arguments, loss=mse, cutmix=CutMixSpec(), seed=0)
    assert float(levels(narrow).min()) > 4
    assert float((levels(usual) > 4).float().mean()) < 0.5
    assert narrow.digest != usual.digest


def test_a_skip_is_fitted_to_the_latents_before_training(make_diffusion: Callable[..., DiffusionTask]) -> None:
    task = make_diffusion(skip={"kind": "gaussian", "degree": 0})
    mean = task.module.get_buffer("mean").reshape(task.latents.shape[1:])
    torch.testing.assert_close(mean, task.latents.double().mean(0).float())
    assert task.averaged.get_buffer("mean").equal(task.module.get_buffer("mean"))
