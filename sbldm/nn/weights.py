"""Named tensors as bytes and back; nothing is ever unpickled, and nothing doubtful gets through."""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from sbldm.errors import RunError

PICKLE_SIGNATURES = b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors in the safetensors format."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def from_bytes(content: bytes, name: str) -> dict[str, Tensor]:
    """Return the tensors, or refuse the content in one line that begins with ``name``."""
    if content.startswith(PICKLE_SIGNATURES):
        raise RunError(f"{name}: not an sbldm checkpoint (pickle files are never opened)")
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise RunError(f"{name}: not readable as safetensors ({error})") from error
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise RunError(f"{name}: weights must be finite, but {key} is not")
    return tensors


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with a prefix and a dot before each name."""
    return {f"{prefix}.{key}": tensor for key, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name begins with the prefix, without it."""
    return {key[len(prefix) + 1 :]: tensor for key, tensor in tensors.items() if key.startswith(f"{prefix}.")}


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Copy tensors into a module, or name the first key or shape in which they differ."""
    expected = module.state_dict()
    for key in sorted(expected.keys() | tensors.keys()):
        if key not in tensors or key not in expected:
            where = "is missing from the file" if key not in tensors else "is unknown to the architecture"
            raise RunError(f"{name}: the weights belong to another architecture: {key} {where}")
        if tensors[key].shape != expected[key].shape or tensors[key].dtype != expected[key].dtype:
            raise RunError(
                f"{name}: the weights belong to another architecture: {key} must be {_form(expected[key])},"
                f" but it is {_form(tensors[key])}"
            )
    module.load_state_dict(dict(tensors))


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
