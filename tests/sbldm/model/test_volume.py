import pytest
import torch

from sbldm.diffusion import SAMPLERS, SamplerSpec
from sbldm.model import LatentDiffusion
from sbldm.model.coherence import Coherence
from sbldm.model.volume import GeneratedVolume, generate_volume, measure_length, spread_positions

DDIM = SAMPLERS.parse({"kind": "ddim", "steps": 4})
DDPM = SAMPLERS.parse({"kind": "ddpm", "steps": 4})


def make(model: LatentDiffusion, sampler: SamplerSpec = DDIM, **changes: object) -> GeneratedVolume:
    settings = {"seed": 0, "slices": 6, "index": 0, "spacing_mm": (5.0, 2.0, 2.0), "batch": 6}
    return generate_volume(model, sampler=sampler, **{**settings, **changes})  # type: ignore[arg-type]


def roughness(volume: GeneratedVolume) -> float:
    return float(volume.images.diff(dim=0).abs().mean())


def test_a_volume_is_in_range_and_spans_the_training_positions(model: LatentDiffusion) -> None:
    volume = make(model)
    assert volume.images.shape == (6, 1, 16, 16)
    assert volume.images.abs().max() <= 1
    assert volume.labels.shape == (6, 16, 16)
    assert volume.labels.max() <= 1
    assert volume.spacing_mm == (5.0, 2.0, 2.0)
    torch.testing.assert_close(volume.positions, torch.linspace(-1, 1, 6))


@pytest.mark.parametrize("sampler", [DDIM, DDPM], ids=["ddim", "ddpm"])
@pytest.mark.parametrize("length_mm", [0.0, 15.0])
def test_a_volume_is_the_same_at_any_batch_size(model: LatentDiffusion, sampler: SamplerSpec, length_mm: float) -> None:
    coherence = Coherence(length_mm=length_mm)
    whole, parts = (make(model, sampler, coherence=coherence, batch=batch) for batch in (6, 4))
    torch.testing.assert_close(whole.images, parts.images, rtol=1e-4, atol=1e-4)
    assert (whole.labels != parts.labels).float().mean() < 0.01


def test_a_volume_is_itself_alone_and_another_has_other_noise(model: LatentDiffusion) -> None:
    alone = make(model, DDPM, index=2)
    among = [make(model, DDPM, index=index) for index in range(3)]
    assert torch.equal(alone.images, among[2].images)
    assert (among[0].images - among[2].images).abs().mean() > 0.05
    assert (alone.images - make(model, DDPM, index=2, seed=1).images).abs().mean() > 0.05


def test_twice_the_slices_show_the_same_volume(model: LatentDiffusion) -> None:
    coarse, fine = make(model, DDPM, slices=6), make(model, DDPM, slices=11, spacing_mm=(2.5, 2.0, 2.0))
    torch.testing.assert_close(fine.images[::2], coarse.images, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", [DDIM, DDPM], ids=["ddim", "ddpm"])
def test_coherent_slices_differ_less_from_their_neighbors(model: LatentDiffusion, sampler: SamplerSpec) -> None:
    rough, middling, smooth = (
        roughness(make(model, sampler, coherence=Coherence(length_mm=length))) for length in (0.0, 10.0, 100.0)
    )
    assert smooth < 0.5 * middling < 0.5 * rough


def test_each_slice_is_told_its_own_position(model: LatentDiffusion) -> None:
    told = []
    model.network.register_forward_pre_hook(lambda module, arguments: told.append(arguments[2].clone()))
    volume = make(model)
    for cues in told:
        assert torch.equal(cues, torch.stack([volume.positions, torch.zeros(6)], dim=1))


def test_positions_are_even_and_a_lone_slice_lies_in_the_middle() -> None:
    pool = torch.tensor([0.3, -0.5, 0.9])
    torch.testing.assert_close(spread_positions(pool, 3), torch.tensor([-0.5, 0.2, 0.9]))
    torch.testing.assert_close(spread_positions(pool, 1), torch.tensor([0.2]))


def test_the_length_is_measured_in_positions() -> None:
    """Slices 5 mm and 0.4 apart: 20 mm are 4 slices, hence 1.6; below a fifth of a slice there is no coherence."""
    positions = torch.tensor([-0.4, 0.0, 0.4])
    assert measure_length(Coherence(length_mm=20), positions, 5.0) == pytest.approx(1.6)
    assert measure_length(Coherence(length_mm=0.99), positions, 5.0) == 0


@pytest.mark.parametrize(
    "changes", [{"slices": 0}, {"batch": 0}, {"index": -1}, {"spacing_mm": (0.0, 1.0, 1.0)}], ids=str
)
def test_impossible_volumes_are_refused(model: LatentDiffusion, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        make(model, **changes)  # type: ignore[arg-type]
