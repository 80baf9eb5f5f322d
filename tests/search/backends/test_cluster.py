import pytest

from sbldm.errors import ConfigError
from search.backends.cluster import Seats, divide_cluster


@pytest.mark.parametrize(
    "machines, workers, device, seats",
    [
        ([{"CPU": 8, "GPU": 2}, {"CPU": 16, "GPU": 2}], None, "auto", Seats(4, 4, 1)),
        ([{"CPU": 8, "GPU": 2}, {"CPU": 64}], None, "auto", Seats(2, 4, 1)),
        ([{"CPU": 8, "GPU": 2}], 1, "cuda", Seats(1, 4, 1)),
        ([{"CPU": 2, "GPU": 4}], None, "auto", Seats(4, 0, 1)),
        ([{"CPU": 8, "GPU": 2}, {"CPU": 4}], None, "cpu", Seats(2, 4, 0)),
        ([{"CPU": 8}], None, "auto", Seats(1, 8, 0)),
        ([{"CPU": 8}], 3, "auto", Seats(3, 2, 0)),
        ([{"CPU": 8}, {"CPU": 4}, {}], 3, "auto", Seats(3, 4, 0)),
        ([{"CPU": 2}], 5, "auto", Seats(5, 1, 0)),
    ],
)
def test_each_trial_has_a_gpu_or_as_many_cores_of_one_machine_as_all_can_have(
    machines: list[dict[str, float]], workers: int | None, device: str, seats: Seats
) -> None:
    assert divide_cluster(machines, workers=workers, device=device) == seats  # type: ignore[arg-type]


def test_a_cluster_without_what_the_trials_need_is_refused() -> None:
    with pytest.raises(ConfigError, match="no machine of the cluster offers one; set device to cpu or auto"):
        divide_cluster([{"CPU": 8}], workers=None, device="cuda")
    with pytest.raises(ConfigError, match="a free core"):
        divide_cluster([{}], workers=None)
