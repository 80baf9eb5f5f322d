"""Ctrl-C and SIGTERM at a moment of our choosing: between two events, when all that is done can be kept."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 75}


class Stopped(Exception):  # noqa: N818 - what the user asked for is no error
    """The user asked to stop, and what was done is kept."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("stopped; the same command goes on")
        self.exit_code = exit_code


class Request:
    """Whether a signal has asked to stop; a second one does not wait."""

    exit_code: int | None = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; let a second one through at once."""
        if self.exit_code is not None:
            raise KeyboardInterrupt
        self.exit_code = EXIT_CODES[signal.Signals(number)]


@contextmanager
def listening() -> Iterator[Request]:
    """Collect signals while the block runs, and put the former handlers back."""
    request = Request()
    former = {number: signal.signal(number, request.receive) for number in EXIT_CODES}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
