"""One thread for matrix products, whose last digits otherwise depend on how many threads there are."""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def single_thread() -> AbstractContextManager[object]:
    """Hold the libraries behind numpy's products to one thread while the context is open; it costs microseconds."""
    limit: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # it looks through every loaded library: ten milliseconds, once
