"""Patients never straddle parts, and who is where depends on ids and seed alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sbldm.data import PARTS, Split, SplitSpec, split_subjects
from sbldm.errors import DataError

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
some_ids = st.lists(st.text(min_size=1, max_size=8), min_size=3, max_size=60, unique=True)
specs = st.builds(
    lambda cut, rest, seed: SplitSpec(train=cut, validation=(1 - cut) * rest, test=(1 - cut) * (1 - rest), seed=seed),
    st.floats(0.05, 0.9),
    st.floats(0.1, 0.9),
    st.integers(0, 9),
)


def part_of(split: Split) -> dict[str, str]:
    return {id_: part for part in PARTS for id_ in getattr(split, part)}


@quick
@given(ids=some_ids, spec=specs)
def test_the_parts_are_disjoint_complete_and_none_is_empty(ids: list[str], spec: SplitSpec) -> None:
    split = split_subjects(ids, spec)
    assert sorted(split.train + split.validation + split.test) == sorted(ids)
    assert min(len(getattr(split, part)) for part in PARTS) >= 1


@quick
@given(ids=some_ids, spec=specs, order=st.randoms(use_true_random=False))
def test_the_order_of_listing_is_irrelevant(ids: list[str], spec: SplitSpec, order: object) -> None:
    shuffled = list(ids)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_subjects(shuffled, spec) == split_subjects(ids, spec)


@quick
@given(ids=some_ids, spec=specs, newcomer=st.text(min_size=9, max_size=9))
def test_a_newcomer_moves_at_most_one_patient_across_each_border(
    ids: list[str], spec: SplitSpec, newcomer: str
) -> None:
    before, after = part_of(split_subjects(ids, spec)), part_of(split_subjects([*ids, newcomer], spec))
    assert sum(before[id_] != after[id_] for id_ in ids) <= 2


@pytest.mark.parametrize("count, sizes", [(3, (1, 1, 1)), (10, (6, 1, 3)), (100, (60, 10, 30)), (7, (4, 1, 2))])
def test_the_shares_are_kept(count: int, sizes: tuple[int, int, int]) -> None:
    split = split_subjects([f"p{i}" for i in range(count)], SplitSpec())
    assert tuple(len(getattr(split, part)) for part in PARTS) == sizes


def test_the_digest_ignores_order_within_parts_and_sees_every_swap() -> None:
    split = Split(("a", "b"), ("c",), ("d",), seed=0)
    assert split.digest == Split(("b", "a"), ("c",), ("d",), seed=0).digest
    assert split.digest != Split(("a", "c"), ("b",), ("d",), seed=0).digest
    assert split.digest != Split(("a", "b"), ("c",), ("d",), seed=1).digest


@quick
@given(ids=some_ids, spec=specs)
def test_each_part_is_within_one_patient_of_its_share(ids: list[str], spec: SplitSpec) -> None:
    wished = {part: getattr(spec, part) * len(ids) for part in PARTS}
    if min(wished.values()) < 1:
        return  # a part that would be empty takes its one patient from the others
    split = split_subjects(ids, spec)
    assert max(abs(len(getattr(split, part)) - wished[part]) for part in PARTS) < 1 + 1e-9


@quick
@given(ids=some_ids, spec=specs, which=st.integers(0, 10**6))
def test_the_digest_changes_when_one_patient_moves(ids: list[str], spec: SplitSpec, which: int) -> None:
    split = split_subjects([*ids, "one more, so that a part can spare one"], spec)
    source = max(PARTS, key=lambda part: len(getattr(split, part)))
    patients = list(getattr(split, source))
    moved = patients.pop(which % len(patients))
    target = PARTS[PARTS.index(source) - 1]
    parts = {part: getattr(split, part) for part in PARTS} | {source: tuple(patients)}
    assert Split(**parts | {target: (*parts[target], moved)}, seed=split.seed).digest != split.digest


def test_another_seed_deals_anew() -> None:
    ids = [f"p{i}" for i in range(30)]
    assert split_subjects(ids, SplitSpec(seed=0)).train != split_subjects(ids, SplitSpec(seed=1)).train


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(DataError, match="at least 3 patients, but got 2"):
        split_subjects(["a", "b"], SplitSpec())
    with pytest.raises(DataError, match="must be unique, but 1 of 4 repeat"):
        split_subjects(["a", "b", "c", "a"], SplitSpec())
    with pytest.raises(DataError, match="validation has none"):
        Split(("a",), (), ("b",), seed=0)
    with pytest.raises(DataError, match="one part of the split only"):
        Split(("a",), ("b",), ("a",), seed=0)


@pytest.mark.parametrize("shares", [(0.6, 0.1, 0.2), (1.0, 0.0, 0.0), (0.5, 0.7, -0.2), (0.6, float("nan"), 0.4)])
def test_shares_that_are_no_shares_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValidationError):
        SplitSpec(train=shares[0], validation=shares[1], test=shares[2])
