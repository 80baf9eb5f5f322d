"""Several processes, one training: the first looks after cache, record and data; the others help it to train."""

from collections.abc import Callable, Generator
from typing import Any

from sbldm.errors import ResourceError, RunError
from sbldm.training import current_world
from sbldm.training.distributed import hear_first
from search.cache import Cache, Entry
from search.events import Event
from search.interrupt import Stopped, listening

Meta = dict[str, Any]
Build = Callable[[Entry], Generator[Event, None, Meta]]
Find = Callable[[Cache, str, str, Build], Generator[Event, None, tuple[Entry, Meta]]]
Help = Callable[[Entry], Generator[Event, None, object]]

READY, BUILDING = 0, 1


def found_together(
    cache: Cache, stage: str, digest: str, build: Build, *, find: Find, help_build: Help | None = None
) -> Generator[Event, None, tuple[Entry, Meta]]:
    """Return a stage's output; the first process finds or builds it, and the others then read it.

    All processes pass the same stages in the same order.

    Args:
        cache: of all processes; a folder that each of them sees.
        stage: name of the stage.
        digest: of all that decides its output.
        build: what the first does where the output is not there; it alone writes.
        find: looks for the output, and calls ``build``.
        help_build: what the others do meanwhile; without it they wait.

    Raises:
        RunError: the processes do not have the same settings, files or cache.
        ResourceError: another process ended.
    """
    world = current_world()
    if world.size == 1:
        return (yield from find(cache, stage, digest, build))
    if not world.is_first:
        return (yield from _help(cache, stage, digest, help_build))

    def announced(entry: Entry) -> Generator[Event, None, Meta]:
        hear_first(BUILDING, _number(digest))
        return (yield from build(entry))

    found = yield from find(cache, stage, digest, announced)
    hear_first(READY, _number(digest))
    return found


def take_part(events: Generator[Event, None, object]) -> None:
    """Run a helping process to its end, in silence; signals are left to the first, which stops all.

    Raises:
        Stopped: all were asked to stop.
        ResourceError: another process ended.
    """
    with listening() as request:
        try:
            for _ in events:
                pass
        except ResourceError:
            if request.exit_code is None:
                raise
            raise Stopped(request.exit_code) from None


def _help(cache: Cache, stage: str, digest: str, help_build: Help | None) -> Generator[Event, None, tuple[Entry, Meta]]:
    entry = cache.entry(stage, digest)
    while _hear(stage, digest) == BUILDING:
        if help_build:
            yield from help_build(entry)
    meta = entry.meta()
    if meta is None:
        raise RunError(f"all processes must share one cache, but {entry.directory} is not whole here")
    return entry, meta


def _hear(stage: str, digest: str) -> int:
    word, number = hear_first(READY, _number(digest))
    if number != _number(digest):
        raise RunError(f"all processes must have the same settings and files, but their stage {stage} differs")
    return word


def _number(digest: str) -> int:
    return int(digest[:12], 16)
