"""What Ray runs somewhere on the cluster: the next waiting trial, by the same work as that of a local worker."""

import json
import os
from pathlib import Path
from typing import Any

from search.worker import Mouth, serve
from search.workers import Task


def run_next(words: str, seat: int, cores: int, folder: str, mailbox: Any) -> int:
    """Work at one trial, if any waits, and return the exit code of a worker.

    Args:
        words: the task as JSON: text is all that passes between machines.
        seat: who we are, in what is put into the mailbox.
        cores: threads to compute with.
        folder: where the command was given, for paths that are relative to it; another machine may not have it.
        mailbox: a queue of the cluster.
    """
    import torch

    torch.set_num_threads(max(1, cores))
    if Path(folder).is_dir():
        os.chdir(folder)

    def send(message: dict[str, Any]) -> None:
        try:
            mailbox.put((seat, json.dumps(message)))
        except Exception as error:  # Ray has a family of its own for a mailbox that is gone
            raise BrokenPipeError from error

    return serve(Task(**json.loads(words)), Mouth(send))
