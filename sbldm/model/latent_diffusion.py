"""A trained model: codec, network and settings; saved without pickle, checked when loaded."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from sbldm.diffusion import Denoiser
from sbldm.diffusion.guidance import autoguide
from sbldm.errors import ConfigError, DataError, RunError
from sbldm.files import atomic_write, sha256
from sbldm.latent import LatentCodec
from sbldm.model.conditioning import Conditioner, restore_conditioner
from sbldm.model.spec import ModelSpec
from sbldm.nn.sealed import read_sealed, write_sealed
from sbldm.nn.weights import from_bytes, load_into, prefixed, to_bytes, under
from sbldm.precision import Precision, choose_dtype, computing

FORMAT = 1


@dataclass(frozen=True, eq=False)
class LatentDiffusion:
    """A model ready to generate: its network holds the averaged weights."""

    spec: ModelSpec
    codec: LatentCodec
    network: nn.Module
    positions: Float[Tensor, " m"]
    """Slice positions of the training slices, from which generated slices draw theirs."""
    conditioner: Conditioner | None = None
    """Conditions of the same training slices, where the network is told any."""

    def __post_init__(self) -> None:
        """Switch dropout off, and refuse a model without positions."""
        if len(self.positions) == 0:
            raise ValueError("a model needs the slice positions it was trained on, but got none")
        names, rows = (self.conditioner.names, len(self.conditioner.rows)) if self.conditioner else ((), 0)
        if names != self.spec.conditions or rows not in (0, len(self.positions)):
            raise ValueError(
                f"a model of conditions {list(self.spec.conditions)} and {len(self.positions)} positions needs a"
                f" row for each, but got {rows} rows of {list(names)}"
            )
        self.codec.eval()
        self.network.eval()

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return self.codec.mean.device

    def denoiser(self, precision: Precision = "float32", autoguidance: float = 0.0) -> Denoiser:
        """Return the network as samplers see it; conditions that the cues lack are unknown to it.

        Raises:
            ConfigError: autoguidance is asked of a model whose skip knows nothing in closed form.
        """
        weights = sum(weight.numel() for weight in self.network.parameters())
        dtype = choose_dtype(precision, self.device, weights=weights)
        width = self.spec.cues if self.spec.conditions else 0
        plain = Denoiser(_Calling(self.network, width, dtype), self.spec.schedule.build(), self.spec.prediction)
        self.spec.skip.check_autoguidance(autoguidance)
        return autoguide(plain, autoguidance, self.spec.skip.closed_form(self.network)) if autoguidance else plain

    def to(self, device: torch.device) -> "LatentDiffusion":
        """Move the weights, and return the model."""
        self.codec.to(device)
        self.network.to(device)
        return self

    def save(self, directory: Path) -> None:
        """Write ``model.json`` and the weights it names by their hash; an older model stays whole until then."""
        tensors = prefixed("codec", self.codec.state_dict()) | prefixed("network", self.network.state_dict())
        if self.conditioner:
            tensors |= prefixed("conditions", self.conditioner.tensors())
        content = to_bytes(tensors | {"positions": self.positions})
        digest = sha256(content)
        atomic_write(directory / weights_name(digest), content)
        meta = {"format": FORMAT, "sha256": digest, "bytes": len(content), "spec": self.spec.model_dump(mode="json")}
        write_sealed(directory / "model.json", meta)
        for old in set(directory.glob("weights-*.safetensors")) - {directory / weights_name(digest)}:
            old.unlink()

    @staticmethod
    def load(directory: Path) -> "LatentDiffusion":
        """Return a saved model on the CPU.

        Raises:
            RunError: missing, altered, of another format, or not the weights of these settings.
        """
        if directory.is_file():
            raise RunError(f"{directory}: not an sbldm model, which is a directory (pickle files are never opened)")
        spec, digest = _read_settings(directory / "model.json")
        path = directory / weights_name(digest)
        tensors = _read_weights(path, digest)
        codec = LatentCodec(spec.build_autoencoder(0), spec.classes, spec.autoencoder.latent_channels)
        network = spec.build_network(0)
        load_into(codec, under("codec", tensors), path.name)
        load_into(network, under("network", tensors), path.name)
        positions = tensors.get("positions")
        if positions is None or positions.ndim != 1 or not positions.is_floating_point() or len(positions) == 0:
            raise RunError(f"{path.name}: the slice positions are missing")
        conditioner = _read_conditions(spec, tensors, path.name)
        return LatentDiffusion(spec, codec.requires_grad_(False), network.requires_grad_(False), positions, conditioner)


@dataclass(frozen=True, eq=False)
class _Calling:
    """The network in some precision, told 0 for the cues that are lacking up to ``width``."""

    network: nn.Module
    width: int
    dtype: torch.dtype

    def __call__(
        self, noisy: Float[Tensor, "b ..."], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b ..."]:
        missing = max(0, self.width - cues.shape[1])
        with computing(noisy.device, self.dtype):
            predicted: Tensor = self.network(noisy, t, functional.pad(cues, (0, missing)) if missing else cues)
        return predicted


def weights_name(digest: str) -> str:
    """Return the file name of the weights with this SHA-256."""
    return f"weights-{digest[:16]}.safetensors"


def _read_settings(path: Path) -> tuple[ModelSpec, str]:
    meta = read_sealed(path, FORMAT)
    try:
        return ModelSpec.model_validate(meta["spec"]), str(meta["sha256"])
    except (ValidationError, ConfigError) as error:
        raise RunError(f"{path}: the settings are not valid ({' '.join(str(error).split())})") from error


def _read_weights(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    if sha256(content) != digest:
        raise RunError(f"{path}: altered or truncated since it was written (its sha256 differs from model.json)")
    return from_bytes(content, path.name)


def _read_conditions(spec: ModelSpec, tensors: dict[str, Tensor], name: str) -> Conditioner | None:
    if not spec.conditions:
        return None
    try:
        return restore_conditioner(spec.conditions, under("conditions", tensors))
    except (KeyError, RuntimeError, DataError) as error:
        raise RunError(f"{name}: the training conditions are missing or unlike model.json ({error})") from error
