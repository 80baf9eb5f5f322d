"""Nothing but tensors is read, and only from the file that was meant."""

import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file

from evaluation import build_extractor, stand_alone
from evaluation.features.weights import check_digest, file_digest, read_tensors


class Trap:
    """Pickled code: loading it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_tensors_come_back_from_both_formats(tmp_path):
    state = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
    torch.save(state, tmp_path / "code.pth")  # the archive's folder is then called `code`
    save_file(state, tmp_path / "state.safetensors")
    for name in ("code.pth", "state.safetensors"):
        found = read_tensors(tmp_path / name)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    with (tmp_path / "plain.pth").open("wb") as stream:
        pickle.dump({"a": Trap(tmp_path / "sprung")}, stream)
    torch.save({"a": Trap(tmp_path / "sprung")}, tmp_path / "zipped.pth")
    for name in ("plain.pth", "zipped.pth"):
        with pytest.raises(ValueError, match=rf"^{name} must hold a state dict of tensors alone.*\Z"):
            read_tensors(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")  # deprecated, but what OpenAI publishes
def test_a_torchscript_archive_is_refused_with_what_to_supply(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "ViT-B-32.pt"))
    with pytest.raises(ValueError, match=r"^ViT-B-32.pt .*TorchScript archive.*state dict as safetensors\Z"):
        read_tensors(tmp_path / "ViT-B-32.pt")


@pytest.mark.parametrize("content", [{"model": {"a": torch.ones(1)}}, [torch.ones(1)], {"epoch": 3}])
def test_anything_but_a_flat_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="flat state dict of tensors, but holds a"):
        read_tensors(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut short"])
def test_a_broken_file_is_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{name} must hold .*reading it failed\Z"):
        read_tensors(tmp_path / name)


def test_the_digest_follows_a_file_that_changes(tmp_path):
    for content in (b"first", b"second one"):
        (tmp_path / "weights.pth").write_bytes(content)
        assert file_digest(tmp_path / "weights.pth") == hashlib.sha256(content).hexdigest()
    assert check_digest(tmp_path / "weights.pth", "") == hashlib.sha256(b"second one").hexdigest()


@pytest.mark.parametrize(("name", "digits"), [("lite0", "57934424"), ("inception", "6726825d"), ("vgg16", "397923af")])
def test_a_changed_file_is_refused_before_it_is_opened(tmp_path, name, digits):
    (tmp_path / "weights.pth").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=f"SHA-256 {digits}"):
        build_extractor(name, tmp_path / "weights.pth")


def test_a_file_that_changes_after_the_extractor_is_built_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pth")
    extractor = build_extractor("clip-vit-b-32", tmp_path / "weights.pth")
    torch.save({"a": torch.zeros(20)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=f"must have SHA-256 {extractor.digest}"):
        extractor.extract(stand_alone(torch.zeros(1, 1, 8, 8)))


@pytest.mark.parametrize("name", ["clip-vit-b-32", "dinov2-vit-s-14"])
def test_tensors_of_another_network_are_refused_in_one_line(tmp_path, name):
    torch.save({"conv.weight": torch.ones(1)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"^weights.pth must hold the tensors of this network.*\Z"):
        build_extractor(name, tmp_path / "weights.pth").extract(stand_alone(torch.zeros(1, 1, 8, 8)))
