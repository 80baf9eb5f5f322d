"""Does the full configuration learn in 50 000 steps on one card, as fast as planned?

Command: ``sbldm experiment E3.2``; on a 16 GB GPU. On a CPU it takes weeks and is refused unless asked for.
Expected: what E1.2 asks, a training step below 200 ms and a slice below 5 s.
"""

from collections.abc import Generator
from dataclasses import replace

from search.reproduction import e1_2_sanity
from search.reproduction.criterion import Criterion, check_number
from search.reproduction.e1_3_ddim import SECONDS
from search.reproduction.planned import Findings, Workplace
from search.reproduction.trained import train_model
from search.runner import StudyEvent

STEP = Criterion("seconds per training step of the network", "below", 0.2)


def measure(place: Workplace) -> Generator[StudyEvent, None, Findings]:
    """Train, evaluate, and hold pace and samples against the plan."""
    found = yield from e1_2_sanity.measure(place)
    material = yield from train_model(place)
    drawn = yield from material.draw(place.config.sampler)
    device = material.trained.model.device.type
    pace = (
        check_number(STEP, material.trained.costs["cost/seconds_per_step"], "mean over the whole training"),
        check_number(SECONDS, drawn.seconds_per_image, f"{len(drawn.images)} images, drawn on {device}"),
    )
    return replace(found, checks=(*found.checks, *pace))


FULL_DIFFUSION = replace(
    e1_2_sanity.SANITY,
    name="E3.2",
    title="full diffusion, 50 000 steps",
    question="Does the full configuration learn on one card, as fast as planned?",
    preset="t4",
    criteria=(*e1_2_sanity.SANITY.criteria, str(STEP), str(SECONDS)),
    run_time="not yet measured (a 16 GB GPU)",
    measure=measure,
)
