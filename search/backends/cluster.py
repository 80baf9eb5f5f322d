"""How a cluster is divided among trials, each of which needs a GPU or a share of one machine's cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sbldm.errors import ConfigError
from sbldm.training import DeviceName


@dataclass(frozen=True)
class Seats:
    """So many trials at a time, and what each of them is given."""

    count: int
    cores: int
    gpus: int


def divide_cluster(
    machines: Sequence[Mapping[str, float]], *, workers: int | None, device: DeviceName = "auto"
) -> Seats:
    """Return a seat per GPU where there are GPUs to be used, else equal shares of cores, at first one per machine.

    Args:
        machines: the ``CPU`` and ``GPU`` that each has.
        workers: trials at a time; None for one per GPU or machine.
        device: of the trials.
    """
    gpus = [int(machine.get("GPU", 0)) for machine in machines]
    cores = [int(machine.get("CPU", 0)) for machine in machines]
    if device == "cuda" and not any(gpus):
        raise ConfigError(
            "device cuda needs a GPU, but no machine of the cluster offers one; set device to cpu or auto"
        )
    if device != "cpu" and any(gpus):
        shares = [core // gpu for core, gpu in zip(cores, gpus, strict=True) if gpu]
        return Seats(workers or sum(gpus), min(shares), 1)
    if not any(cores):
        raise ConfigError("a cluster needs a machine with a free core, but its machines offer none")
    count = workers or sum(core > 0 for core in cores)
    fitting = [share for share in range(1, max(cores) + 1) if sum(core // share for core in cores) >= count]
    return Seats(count, max(fitting, default=1), 0)
