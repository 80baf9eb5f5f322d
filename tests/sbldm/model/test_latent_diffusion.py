import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbldm.diffusion import SAMPLERS
from sbldm.errors import RunError
from sbldm.files import sha256
from sbldm.model import LatentDiffusion, ModelSpec, generate
from sbldm.model.latent_diffusion import weights_name
from sbldm.nn.sealed import read_sealed, write_sealed
from sbldm.nn.weights import from_bytes, to_bytes

DDIM = SAMPLERS.parse({"kind": "ddim", "steps": 3})


@pytest.fixture
def saved(model: LatentDiffusion, tmp_path: Path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


def weights_of(saved: Path) -> Path:
    (path,) = saved.glob("*.safetensors")
    return path


def forge(saved: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Exchange the weights and seal them anew, as one who knows the format would."""
    content = to_bytes(tensors)
    (saved / weights_name(sha256(content))).write_bytes(content)
    meta = read_sealed(saved / "model.json", 1) | {"sha256": sha256(content), "bytes": len(content)}
    write_sealed(saved / "model.json", meta)


def test_a_loaded_model_generates_the_same_to_the_bit(model: LatentDiffusion, saved: Path) -> None:
    loaded = LatentDiffusion.load(saved)
    assert loaded.spec == model.spec
    (one,), (other,) = (list(generate(m, 3, sampler=DDIM, seed=0)) for m in (model, loaded))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)
    assert torch.equal(one.positions, other.positions)


def test_saving_again_replaces_the_weights_and_leaves_nothing_else(model: LatentDiffusion, saved: Path) -> None:
    model.codec.mean += 1
    model.save(saved)
    assert len(list(saved.iterdir())) == 2
    assert torch.equal(LatentDiffusion.load(saved).codec.mean, model.codec.mean)


def test_no_flipped_bit_of_the_weights_is_loaded(saved: Path) -> None:
    path = weights_of(saved)
    content = path.read_bytes()
    for index in range(0, len(content), len(content) // 40):
        damaged = bytearray(content)
        damaged[index] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(RunError, match="altered or truncated"):
            LatentDiffusion.load(saved)


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_truncated_weights_are_refused(saved: Path, kept: int) -> None:
    path = weights_of(saved)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match="altered or truncated"):
        LatentDiffusion.load(saved)


def test_an_altered_setting_is_refused(saved: Path) -> None:
    meta = json.loads((saved / "model.json").read_text())
    meta["spec"]["prediction"] = "eps"
    (saved / "model.json").write_text(json.dumps(meta))
    with pytest.raises(RunError, match="seal is broken"):
        LatentDiffusion.load(saved)


def test_a_pickle_is_never_opened(saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save({}, file)
    with pytest.raises(RunError, match="pickle files are never opened"):
        LatentDiffusion.load(file)
    content = pickle.dumps({"a": 1})
    (saved / weights_name(sha256(content))).write_bytes(content)
    meta = read_sealed(saved / "model.json", 1) | {"sha256": sha256(content)}
    write_sealed(saved / "model.json", meta)
    with pytest.raises(RunError, match="pickle files are never opened"):
        LatentDiffusion.load(saved)


def test_the_weights_of_another_architecture_are_refused(
    model: LatentDiffusion, saved: Path, make_spec: Callable[..., ModelSpec]
) -> None:
    other = make_spec(network={"kind": "plain", "model_channels": 16, "blocks": 1}).build_network(0)
    LatentDiffusion(model.spec, model.codec, other, model.positions).save(saved)
    with pytest.raises(RunError, match="belong to another architecture"):
        LatentDiffusion.load(saved)


def test_weights_that_are_not_finite_are_refused(saved: Path) -> None:
    tensors = from_bytes(weights_of(saved).read_bytes(), "weights")
    tensors["codec.scale"][0] = float("nan")
    forge(saved, tensors)
    with pytest.raises(RunError, match=r"codec\.scale is not"):
        LatentDiffusion.load(saved)


def test_a_model_without_positions_is_refused(saved: Path, model: LatentDiffusion) -> None:
    tensors = from_bytes(weights_of(saved).read_bytes(), "weights")
    forge(saved, {key: value for key, value in tensors.items() if key != "positions"})
    with pytest.raises(RunError, match="positions are missing"):
        LatentDiffusion.load(saved)
    with pytest.raises(ValueError, match="needs the slice positions"):
        LatentDiffusion(model.spec, model.codec, model.network, torch.zeros(0))


def test_settings_of_an_unknown_kind_are_refused_in_one_line(saved: Path) -> None:
    meta = read_sealed(saved / "model.json", 1)
    meta["spec"]["network"]["kind"] = "plane"
    write_sealed(saved / "model.json", meta)
    with pytest.raises(RunError, match="did you mean 'plain'") as caught:
        LatentDiffusion.load(saved)
    assert "\n" not in str(caught.value)


def test_a_missing_model_is_named(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        LatentDiffusion.load(tmp_path / "nowhere")
    weights_of(saved).unlink()
    with pytest.raises(RunError, match="cannot be read"):
        LatentDiffusion.load(saved)
