"""One thread for matrix products, whose last digits otherwise depend on how many threads there are."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

P = ParamSpec("P")
R = TypeVar("R")


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function give the same last digit whatever the number of threads."""

    @wraps(function)
    def alone(*arguments: P.args, **named: P.kwargs) -> R:
        with single_thread():
            return function(*arguments, **named)

    return alone


def single_thread() -> AbstractContextManager[object]:
    """Hold the libraries behind numpy's products to one thread while the context is open; it costs microseconds."""
    limit: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # it looks through every loaded library: ten milliseconds, once
