from collections.abc import Callable

import pytest
import torch

from sbldm.model import ModelSpec


def test_settings_survive_json(make_spec: Callable[..., ModelSpec]) -> None:
    spec = make_spec()
    again = ModelSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.digest() == spec.digest()


def test_the_latent_shape_follows_from_size_and_autoencoder(make_spec: Callable[..., ModelSpec]) -> None:
    spec = make_spec(size=24, autoencoder={"kind": "patch", "downsample": 8, "latent_channels": 5})
    assert spec.latent_shape == (5, 3, 3)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"size": 18}, "multiple of downsample 4, but got 18"),
        ({"size": 24, "network": {"kind": "unet"}}, "multiple of 4 for this unet network, but got 6"),
        ({"schedule": {"kind": "cosine", "terminal": "zero"}, "prediction": "eps"}, "needs prediction 'v' or 'x0'"),
        ({"gama": 1}, "Extra inputs"),
    ],
)
def test_parts_that_disagree_are_refused(
    make_spec: Callable[..., ModelSpec], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_spec(**changes)


def test_first_weights_depend_on_the_seed_alone(make_spec: Callable[..., ModelSpec]) -> None:
    def weights(seed: int) -> torch.Tensor:
        modules = make_spec().build_autoencoder(seed), make_spec().build_network(seed)
        return torch.cat([w.detach().flatten() for module in modules for w in module.parameters()])

    before = torch.get_rng_state()
    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_without_a_skip_is_described_as_before_there_were_any(make_spec: Callable[..., ModelSpec]) -> None:
    assert (
        make_spec(skip={"kind": "none"}).digest()
        == make_spec().digest()
        != make_spec(skip={"kind": "gaussian"}).digest()
    )
    assert "skip" not in make_spec().model_dump()
    assert make_spec(skip={"kind": "gaussian"}).model_dump()["skip"]["degree"] == 4
