"""Work for other processes: they can import it by this name, which a test module does not give."""

import os
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Writing:
    """Write who wrote it, after some steps."""

    path: Path
    steps: int = 3
    seconds: float = 0.0
    dies: bool = False

    def run(self) -> Generator[int, None, None]:
        for _ in range(self.steps):
            time.sleep(self.seconds)
            if self.dies:
                os.kill(os.getpid(), signal.SIGKILL)
            yield 1
        self.path.write_text(str(os.getpid()))
