from pathlib import Path

from search.queue import TrialQueue
from search.study import Study
from search.study_run import close_parent, find_or_start, open_parent
from search.tracking import MlflowStore


def test_a_run_whose_worker_died_before_it_was_noted_is_found_again(store: MlflowStore, tmp_path: Path) -> None:
    queue = TrialQueue(tmp_path, "noted")
    first = find_or_start(queue, store, "cell-0", "a trial", kind="trial", tags={"sbldm.study": "noted"})
    assert find_or_start(TrialQueue(tmp_path, "noted"), store, "cell-0", "a trial", kind="trial", tags={}) == first
    assert find_or_start(queue, store, "cell-1", "a trial", kind="trial", tags={}) != first
    (run,) = store.runs(study="noted")
    assert run.run_id == first


def test_a_study_of_the_same_name_in_another_database_has_runs_of_its_own(store: MlflowStore, tmp_path: Path) -> None:
    runs = {
        find_or_start(TrialQueue(tmp_path / home, "twin"), store, "cell-0", "a trial", kind="trial", tags={})
        for home in ("a", "b")
    }
    assert len(runs) == 2


def test_a_trials_run_that_nobody_works_at_is_closed_with_the_study(
    store: MlflowStore, mixing: Study, tmp_path: Path
) -> None:
    queue = TrialQueue(tmp_path, "left")
    parent = open_parent(queue, mixing, store, "left")
    assert open_parent(queue, mixing, store, "left") == parent
    queue.enqueue([{"key": "cell", "cell": "cell", "seed": seed} for seed in range(2)])
    dead, alive = queue.next(), queue.next()
    assert dead is not None
    assert alive is not None
    for lease in (dead, alive):
        run = find_or_start(queue, store, str(lease.attributes["seed"]), "trial", kind="trial", tags={})
        lease.trial.set_user_attr("run", run)
    dead.free()  # as its death does
    close_parent(queue, mixing, store, parent)
    statuses = [store.find(queue.study.trials[number].user_attrs["run"]).status for number in (0, 1)]
    assert statuses == ["KILLED", "RUNNING"]
    assert store.find(parent).status == "KILLED"
