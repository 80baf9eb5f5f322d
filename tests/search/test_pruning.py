from dataclasses import replace

import numpy as np
import optuna
import pytest

from sbldm.errors import ConfigError
from search.open_study import OpenStudy
from search.pruning import find_rival
from search.space import Uniform

ONE = OpenStudy("one", "?", {"x": Uniform(0.0, 1.0)}, "", objectives={"selection/fd": "minimize"})
TWO = replace(ONE, objectives={"selection/fd": "minimize", "cost/network_calls": "minimize"})


def searched(study: OpenStudy, *draws: tuple[str, list[tuple[float, ...]]], broken: str = "") -> optuna.Study:
    """Return a search whose draws have these values by seed."""
    search = optuna.create_study(directions=list(study.objectives.values()))
    for cell, by_seed in draws:
        trial = search.ask()
        trial.set_user_attr("cell", cell)
        trial.set_user_attr("by_seed", by_seed)
        trial.set_constraint("copies", 1.0 if cell == broken else -1.0)
        search.tell(trial, np.mean(by_seed, axis=0).tolist())
    return search


def values(*numbers: float) -> list[tuple[float, ...]]:
    return [(number,) for number in numbers]


def test_a_draw_that_is_worse_with_each_seed_is_beaten_once_chance_is_unlikely() -> None:
    """All of n seeds worse happens to equals with p = 1/2^n: .25, .125 and .0625."""
    search = searched(ONE, ("best", values(1, 2, 3, 4, 5)))
    seen = values(1.5, 2.6, 3.8, 4.9)  # without ties, of which the test knows no exact law
    for p, needed in ((0.2, 3), (0.1, 4)):
        found = [find_rival(replace(ONE, prune=p), search, seen[:count]) for count in (1, 2, 3, 4)]
        assert found == [None] * (needed - 1) + ["best"] * (5 - needed)


def test_a_better_or_mixed_draw_goes_on() -> None:
    search = searched(ONE, ("best", values(1, 2, 3, 4, 5)))
    assert find_rival(ONE, search, values(0.5, 1.5, 2.5, 3.5)) is None
    assert find_rival(ONE, search, values(1.5, 1.5, 3.5, 3.5)) is None


def test_one_rival_must_be_better_in_everything() -> None:
    fast, good = ("fast", [(9.0, 1.0)] * 4), ("good", [(1.0, 9.0)] * 4)
    middling, hopeless = [(5.0, 5.0)] * 3, [(9.5, 9.5)] * 3
    search = searched(TWO, fast, good)
    assert find_rival(TWO, search, middling) is None, "each rival is worse in one objective"
    assert find_rival(TWO, search, hopeless) in {"fast", "good"}


def test_a_draw_that_breaks_a_constraint_beats_nobody() -> None:
    draws = ("copier", values(1, 1, 1, 1)), ("fair", values(3, 3, 3, 3))
    assert find_rival(ONE, searched(ONE, *draws, broken="copier"), values(2, 2, 2)) is None
    assert find_rival(ONE, searched(ONE, *draws), values(2, 2, 2)) == "copier"


def test_what_is_to_be_maximized_is_beaten_by_more() -> None:
    study = replace(ONE, objectives={"selection/recall": "maximize"})
    search = searched(study, ("best", values(5, 6, 7, 8)))
    assert find_rival(study, search, values(4, 5, 6)) == "best"
    assert find_rival(study, search, values(6, 7, 8)) is None


def test_equals_are_seldom_taken_for_beaten() -> None:
    """Noise alone: of 400 draws after four seeds at most the stated share is stopped, with room for chance."""
    generator = np.random.default_rng(0)
    stopped = 0
    for _ in range(400):
        rival, ours = generator.normal(size=(2, 4))
        search = searched(ONE, ("rival", values(*rival)))
        stopped += find_rival(replace(ONE, prune=0.1), search, values(*ours)) is not None
    assert 0 < stopped / 400 <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 400)


@pytest.mark.parametrize("p", [-0.1, 0.5, True, "often"])
def test_a_p_value_that_is_none_is_refused(p: object) -> None:
    with pytest.raises(ConfigError, match=r"prune must be a p-value in \[0, 0\.5\), but got"):
        replace(ONE, prune=p)  # type: ignore[arg-type]
