"""What a search may choose by: the distance to validation patients, so that test patients stay unseen by the choice."""

from collections.abc import Generator

from evaluation import MetricResult, stand_alone
from sbldm.data import PreparedData
from sbldm.errors import DataError
from search.events import Event
from search.measure import Judge, to_images
from search.sampling import Samples

FEWEST = 2  # patients that an interval can be made of
GROUP = "selection"


def measure_selection(
    data: PreparedData, samples: Samples, judge: Judge
) -> Generator[Event, None, dict[str, MetricResult]]:
    """Return ``selection/fd_*``, nothing where validation patients are too few.

    It judges the samples that the test patients judge too: free of the choice among patients, not of luck in sampling.
    """
    real = to_images(data.validation)
    if real.patients < FEWEST:
        return {}
    features = yield from judge.features(real)
    measured = yield from judge.distance(features, stand_alone(samples.images))
    return {f"{GROUP}/{measured.name}": measured}


def check_selection(data: PreparedData) -> None:
    """Refuse data by which nothing can be chosen.

    Raises:
        DataError: there are too few validation patients.
    """
    patients = to_images(data.validation).patients
    if patients < FEWEST:
        raise DataError(
            f"a search chooses by validation patients and needs {FEWEST} or more, but got {patients};"
            " raise split.validation"
        )
