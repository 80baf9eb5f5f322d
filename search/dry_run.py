"""What an experiment would take, from its settings alone: no data are read, nothing is trained or written."""

from dataclasses import asdict, dataclass
from typing import Any

from sbldm.model import ModelSpec
from sbldm.training import choose_device
from sbldm.training.cost import GIB, StageCost, autoencoder_cost, check_fits, device_bytes, network_cost
from search.config import ExperimentConfig

UNKNOWN_LABELS = ("label_1",)


@dataclass(frozen=True)
class DryRun:
    """The cost of both stages, and the memory of the device they would run on.

    Attributes:
        settings: of the experiment, without any path.
        device: cpu or cuda.
        available_bytes: memory of the GPU, or of the machine.
        stages: autoencoder and network.
        label_names: counted on; files may turn out to hold others.
    """

    settings: dict[str, Any]
    device: str
    available_bytes: int
    stages: tuple[StageCost, ...]
    label_names: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return what a person reads."""
        memory = f"{self.device} has {self.available_bytes / GIB:.1f} GiB; {len(self.label_names)} label(s) counted on"
        return [*(_line(cost) for cost in self.stages), memory, "nothing was read, trained or written"]

    def to_json(self) -> dict[str, Any]:
        """Return the settings and every number as JSON values."""
        stages = {cost.stage: asdict(cost) | {"memory_bytes": cost.memory_bytes} for cost in self.stages}
        return {
            "settings": self.settings,
            "device": self.device,
            "available_bytes": self.available_bytes,
            "label_names": list(self.label_names),
            "stages": stages,
        }


def dry_run(config: ExperimentConfig) -> DryRun:
    """Return what the experiment would take.

    Raises:
        ResourceError: a stage cannot fit into the device's memory; the setting to lower is named.
    """
    device = choose_device(config.device)
    spec = _model_spec(config)
    stages = (
        autoencoder_cost(spec, config.autoencoder_training, device),
        network_cost(spec, config.training, device),
    )
    available = device_bytes(device)
    check_fits(stages, available, device)
    return DryRun(config.public(), device.type, available, stages, spec.label_names)


def _model_spec(config: ExperimentConfig) -> ModelSpec:
    """Return the model as far as the settings decide it: label maps in files are taken to show one class."""
    drawn = config.data.label_names if config.data.kind == "phantom" else ()
    names = drawn or tuple(getattr(config.data, "names", ())) or UNKNOWN_LABELS
    return ModelSpec(
        size=config.prepare.size,
        label_names=names,
        autoencoder=config.autoencoder,
        network=config.network,
        schedule=config.schedule,
        prediction=config.prediction,
        conditions=config.data.known_names,
    )


def _line(cost: StageCost) -> str:
    parts = ", ".join(f"{name} {count / 1e6:.3g}M" for name, count in cost.parameters.items())
    total, step = cost.memory_bytes / GIB, cost.activation_bytes / GIB
    return (
        f"{cost.stage}: {sum(cost.parameters.values()) / 1e6:.3g}M parameters ({parts});"
        f" {cost.step_flops / 1e9:.3g} GFLOP a step (3 x forward) of {cost.batch}, {cost.steps} steps;"
        f" about {total:.3g} GiB ({total - step:.3g} for weights, {step:.3g} for the step)"
    )
