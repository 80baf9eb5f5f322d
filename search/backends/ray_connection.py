"""To Ray: the cluster that is named or runs here, or one of this machine alone."""

import logging
import os
from importlib.util import find_spec
from typing import Any

from sbldm.errors import ConfigError, ResourceError

LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, Ray listens on 127.0.0.1 alone, as it does on a Mac: whoever reaches its ports may run programs."""


def join_cluster() -> Any:
    """Return Ray, connected to the cluster that ``RAY_ADDRESS`` names or that runs here, or to one begun here.

    Raises:
        ConfigError: Ray is not installed.
        ResourceError: the cluster does not answer.
    """
    ray = _load()
    if ray.is_initialized():
        return ray
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        if os.environ.get("RAY_ADDRESS"):
            raise ResourceError(f"the Ray cluster at {os.environ['RAY_ADDRESS']} does not answer") from error
        begin_here()
    return ray


def begin_here(**options: Any) -> Any:
    """Return Ray on this machine alone, for as long as this process lives; no other machine can reach it."""
    ray = _load()
    os.environ[LOOPBACK_ONLY] = "0"  # for the processes that Ray starts
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which has read the variable already
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **options)
    return ray


def machines(ray: Any) -> list[dict[str, float]]:
    """Return the resources of each machine that is there now."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _load() -> Any:
    if find_spec("ray") is None:
        raise ConfigError("--backend ray needs Ray, which is not installed: pip install 'sbldm[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    return ray
