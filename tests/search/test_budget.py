import pytest

from search.budget import GIB, Draw, Spent, add_spent, average_costs, count_spent
from search.tracking import RunRecord


def record(run_id: str, network: str = "", autoencoder: str = "", samples: str = "", **metrics: float) -> RunRecord:
    named = {"sbldm.network": network, "sbldm.autoencoder": autoencoder, "sbldm.samples": samples}
    tags = {key: digest for key, digest in named.items() if digest}
    return RunRecord(run_id, run_id, "FINISHED", {}, {f"cost/{name}": value for name, value in metrics.items()}, tags)


CPU = {"train_seconds": 1800.0, "cpu_seconds": 1800.0, "autoencoder_train_seconds": 720.0, "peak_memory_bytes": GIB}
GPU = {"train_seconds": 360.0, "gpu_seconds": 720.0, "autoencoder_cpu_seconds": 720.0}
DRAWN = {"seconds_per_image": 0.5, "network_calls": 50.0}


def test_a_stage_that_trials_share_counts_once_in_the_total() -> None:
    """By hand: networks n1 (0.5 h CPU) and n2 (0.2 h GPU), one autoencoder of 0.2 h CPU, two draws of 10 images."""
    runs = [
        record("a", "n1", "v", "s1", **{**CPU, "autoencoder_cpu_seconds": 720.0}, **DRAWN),
        record("b", "n1", "v", "s1", **{**CPU, "autoencoder_cpu_seconds": 720.0}, **DRAWN),
        record("c", "n2", "v", "s2", **GPU, **DRAWN),
    ]
    spent = count_spent(runs, images=10)
    assert spent.totals() == pytest.approx({"cost/cpu_hours": 0.7, "cost/gpu_hours": 0.2, "cost/peak_gib": 1.0})
    assert spent.draws == {"s1": Draw(5.0, 500.0), "s2": Draw(5.0, 500.0)}
    told = "In all 2 networks and 1 autoencoder were trained; 2 sets of samples took 1000 network calls, 0.00278 h."
    assert spent.words() == told
    assert add_spent([spent, spent]) == spent, "what two studies share counts once"
    assert add_spent([]) == Spent()


def test_a_row_is_the_mean_of_its_seeds_from_nothing() -> None:
    first, second = record("a", **GPU, **DRAWN).metrics, record("b", **{**GPU, "gpu_seconds": 1440.0}, **DRAWN).metrics
    found = average_costs([first, second])
    assert found == pytest.approx(
        {
            "cost/cpu_hours": 0.2,
            "cost/gpu_hours": 0.3,
            "cost/seconds_per_image": 0.5,
            "cost/network_calls": 50.0,
        }
    )


def test_hours_whose_device_was_not_noted_are_told_apart() -> None:
    old = record("a", train_seconds=3600.0, autoencoder_train_seconds=1800.0)
    assert average_costs([old.metrics]) == {"cost/hours": 1.5}
    spent = count_spent([old, record("b", **CPU)], images=None)
    assert spent.totals() == pytest.approx({"cost/hours": 1.7, "cost/cpu_hours": 0.5, "cost/peak_gib": 1.0})
    assert "samples" not in spent.words()
