import os
import signal
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from sbldm.training import StepRecord
from search.events import Progress, StageFinished, StageStarted
from search.interrupt import Stopped
from search.progress import Narrator, follow
from search.runner import TrialFinished, TrialStarted
from search.workers import StillWorking, WorkerSaid

STEP = StepRecord("diffusion", 1, 100, 0.5, 1e-3, 1.0, 0.1, 0, is_exact=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("search.progress.time.monotonic", lambda: now[0])
    return now


def texts(narrator: Narrator, events: list[Any]) -> list[tuple[str, bool] | None]:
    lines = [narrator.tell(event) for event in events]
    return [None if line is None else (line.text, line.passing) for line in lines]


def test_the_time_left_is_the_pace_since_the_stage_began(clock: list[float]) -> None:
    narrator = Narrator(every=0.0)
    assert texts(narrator, [STEP]) == [("  diffusion 1/100  loss 0.5000", True)]
    clock[0] = 20.0  # ten steps in 20 s leave 89 of 2 s each
    assert texts(narrator, [replace(STEP, step=11)]) == [("  diffusion 11/100  loss 0.5000  2 min 58 s left", True)]


def test_a_resumed_stage_counts_its_pace_from_where_it_goes_on(clock: list[float]) -> None:
    narrator = Narrator(every=0.0)
    narrator.tell(replace(STEP, step=91))
    clock[0] = 4.0
    assert texts(narrator, [replace(STEP, step=95)]) == [("  diffusion 95/100  loss 0.5000  5.0 s left", True)]


def test_the_next_stage_starts_its_clock_anew(clock: list[float]) -> None:
    narrator = Narrator(every=0.0)
    narrator.tell(Progress("data", 1, 10))
    clock[0] = 100.0
    narrator.tell(StageFinished("data", 100.0, cached=False))
    assert texts(narrator, [Progress("samples", 4, 8)]) == [("  samples 4/8", True)]
    clock[0] = 102.0
    assert texts(narrator, [Progress("samples", 6, 8)]) == [("  samples 6/8  2.0 s left", True)]


def test_in_a_pipe_a_line_lasts_at_each_quarter(clock: list[float]) -> None:
    narrator = Narrator(every=0.25)
    lines = texts(narrator, [replace(STEP, step=step, steps=100) for step in range(1, 101)])
    assert [step for step, line in enumerate(lines, 1) if line and not line[1]] == [26, 51, 76]


def test_stages_and_trials_are_told_by_name() -> None:
    narrator = Narrator(every=0.0)
    assert texts(
        narrator,
        [
            TrialStarted("gamma=1 seed=0", 2, 10, "0123456789abcdef"),
            StageStarted("data"),
            StageFinished("data", 61.4, cached=False),
            StageFinished("codec", 0.25, cached=True),
            TrialFinished("gamma=1 seed=0", "0123456789abcdef", None, "loss is nan"),
        ],
    ) == [
        ("trial 2 of 10: gamma=1 seed=0  (run 01234567)", False),
        ("  data ...", True),
        ("  data: done in 1 min 1 s", False),
        ("  codec: ready in the cache, once took 0.2 s", False),
        ("  failed: loss is nan", False),
    ]


def test_a_stage_found_ready_is_told_once_per_trial() -> None:
    narrator, ready = Narrator(every=0.0), StageFinished("features", 1.0, cached=True)
    assert [line is None for line in texts(narrator, [ready, ready, ready])] == [False, True, True]
    made = StageFinished("features", 1.0, cached=False)
    assert [line is None for line in texts(narrator, [made, made])] == [False, False]
    narrator.tell(TrialStarted("next", 1, 1, "0" * 32))
    assert narrator.tell(ready) is not None


def test_a_finished_trial_tells_its_distance_with_both_ends(finished: Any) -> None:
    end = next(event for event in finished.events if isinstance(event, TrialFinished))
    measured = end.result.results["eval/fd_fake"]
    ((text, passing),) = [line for line in texts(Narrator(every=0.0), [end]) if line]
    assert text == f"  fd_fake {measured.point:.4g} [{measured.low:.4g}, {measured.high:.4g}]"
    assert not passing


def test_what_a_worker_says_is_passed_on_as_it_is() -> None:
    events = [WorkerSaid(2, "[2] trial 1", passing=False), StillWorking(), WorkerSaid(1, "[1] 3/9", passing=True)]
    assert texts(Narrator(every=0), events) == [("[2] trial 1", False), None, ("[1] 3/9", True)]


def test_following_returns_the_result_and_writes_what_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    def events() -> Generator[Any, None, str]:
        yield StageStarted("data")
        yield StageFinished("data", 0.5, cached=False)
        return "result"

    assert follow(events()) == "result"
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "  data: done in 0.5 s\n")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_stops_between_two_events_and_lets_the_work_be_kept(number: signal.Signals, code: int) -> None:
    kept, former = [], signal.getsignal(number)

    def events() -> Generator[Any, None, None]:
        for step in range(1, 10):
            if step == 3:
                os.kill(os.getpid(), number)
            try:
                yield replace(STEP, step=step)
            except GeneratorExit:
                kept.append(step)
                raise

    with pytest.raises(Stopped, match="the same command goes on") as stop:
        follow(events())
    assert stop.value.exit_code == code
    assert kept == [3]
    assert signal.getsignal(number) is former


def test_a_second_signal_does_not_wait() -> None:
    def events() -> Generator[Any, None, None]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        yield from ()

    with pytest.raises(KeyboardInterrupt):
        follow(events())
