import torch

from sbldm.training.task import batch_indices


def epochs(count: int, batch: int, steps: int, seed: int = 0, stage: str = "s") -> torch.Tensor:
    return torch.cat([batch_indices(count, batch, step, seed=seed, stage=stage) for step in range(1, steps + 1)])


def test_every_row_comes_once_per_epoch_in_a_new_order() -> None:
    rows = epochs(10, 4, 5)  # two epochs in five batches, one of them across the border
    assert rows[:10].sort().values.tolist() == rows[10:].sort().values.tolist() == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()


def test_a_batch_may_be_larger_than_the_data() -> None:
    rows = epochs(3, 8, 3)
    assert len(rows) == 24
    assert rows.bincount().tolist() == [8, 8, 8]


def test_the_order_depends_on_seed_and_stage() -> None:
    reference = epochs(20, 5, 4).tolist()
    assert epochs(20, 5, 4).tolist() == reference
    assert epochs(20, 5, 4, seed=1).tolist() != reference
    assert epochs(20, 5, 4, stage="other").tolist() != reference
