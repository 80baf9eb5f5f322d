"""One name is one question, one base, one set of files and one store."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sbldm.errors import RunError
from search.config import ExperimentConfig, override
from search.runner import TrialStarted, run_study
from search.study import Study
from search.tracking import MlflowStore


def test_another_base_needs_another_name(finished: Any, tiny: ExperimentConfig, store: MlflowStore) -> None:
    other = override(tiny, {"training.steps": 7})
    events = run_study(finished.study, other, seeds=[0], home=finished.home, store=store, name=finished.name)
    with pytest.raises(LookupError, match=r"training\.steps was 6, is 7.*--name"):
        next(events)


def test_other_files_need_another_name(
    mixing: Study, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path
) -> None:
    def begin(folder: str) -> Generator[Any, None, str]:
        config = override(tiny, {"data": {"kind": "folder", "root": tmp_path / folder}})
        return run_study(mixing, config, seeds=[0], home=tmp_path, store=store, name="files")

    for folder, value in (("a", 50), ("b", 60)):
        (tmp_path / folder).mkdir()
        Image.new("L", (32, 32), value).save(tmp_path / folder / f"p{value}.png")
    for _ in range(2):
        events = begin("a")
        assert isinstance(next(events), TrialStarted)
        events.close()
    with pytest.raises(RunError, match=r"data\.files was .*, is .*--name") as refusal:
        next(begin("b"))
    assert str(tmp_path) not in str(refusal.value)


def test_a_setting_that_the_study_lost_is_named(
    mixing: Study, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path
) -> None:
    events = run_study(mixing, tiny, seeds=[0], home=tmp_path, store=store, name="lost")
    next(events)
    events.close()
    fewer = replace(mixing, axes={"cutmix.probability": (0.0,)})
    with pytest.raises(RunError, match=r"no longer has \(cutmix\.probability=1\).*--name"):
        next(run_study(fewer, tiny, seeds=[0], home=tmp_path, store=store, name="lost"))


def test_a_stopped_run_that_was_deleted_is_begun_anew(
    mixing: Study, tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path
) -> None:
    def first() -> str:
        events = run_study(mixing, tiny, seeds=[0], home=tmp_path, store=store, name="deleted")
        started = next(events)
        events.close()
        assert isinstance(started, TrialStarted)
        return started.run_id

    run_id = first()
    store._client.delete_run(run_id)
    first()  # the other trial, which was first in the queue
    assert len(store.runs(study="deleted", kind="trial")) == 1
    assert first() != run_id
    assert len(store.runs(study="deleted", kind="trial")) == 2


def test_finished_trials_are_not_mixed_with_those_of_another_store(
    finished: Any, tiny: ExperimentConfig, store: MlflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "holds", lambda run_id: False)
    events = run_study(finished.study, tiny, seeds=[0, 1], home=finished.home, store=store, name=finished.name)
    with pytest.raises(RunError, match="this tracking store does not hold"):
        next(events)
