import pytest
import torch

from sbldm.errors import ConfigError
from sbldm.training.device import choose_device, choose_dtype


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, device in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert choose_device("auto").type == device
        assert choose_device("cpu").type == "cpu"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="set device to cpu or auto"):
        choose_device("cuda")


def test_auto_precision_suits_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    for supported, dtype in ((True, torch.bfloat16), (False, torch.float16)):  # an A100 and a T4
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **_: supported)
        assert choose_dtype("auto", torch.device("cuda")) == dtype
