"""Where the workers of a study run; each backend is one file and one line here."""

from sbldm.errors import ConfigError
from sbldm.spec import did_you_mean
from search.backends.local import LOCAL
from search.backends.on_ray import RAY
from search.backends.order import Backend, Order

__all__ = ["BACKENDS", "Backend", "Order", "find_backend"]

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in (LOCAL, RAY)}


def find_backend(name: str) -> Backend:
    """Return the backend of this name, or say which there are."""
    if name not in BACKENDS:
        raise ConfigError(f"unknown backend {name!r}{did_you_mean(name, list(BACKENDS))}; known: {', '.join(BACKENDS)}")
    return BACKENDS[name]
