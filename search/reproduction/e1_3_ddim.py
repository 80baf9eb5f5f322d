"""Do 50 steps of DDIM do the work of all 1000?

Command: ``sbldm experiment E1.3``; about 4 minutes on one CPU core, most of it for the 1000 steps of DDPM.
Expected: the same network, walked by DDIM in 50 steps without fresh noise, gives samples at most a tenth further from
real slices than DDPM over every level. That is asked as an upper limit of the ratio: two distances that are not told
apart would prove nothing where few samples are drawn.
"""

from collections.abc import Generator

from evaluation import compare_features, frechet_distance
from evaluation.compare import frechet_at_this_n
from evaluation.ratio import distance_ratio
from sbldm.diffusion.samplers import Ddpm
from search.ablation_table import describe_difference
from search.reproduction.criterion import Criterion, check, check_number
from search.reproduction.planned import Findings, Planned, Workplace
from search.reproduction.trained import train_model
from search.runner import StudyEvent

RATIO = Criterion("Frechet distance, few steps over every level", "below", 1.1)
SECONDS = Criterion("seconds per image, few steps", "below", 5.0)


def measure(place: Workplace) -> Generator[StudyEvent, None, Findings]:
    """Walk one network by the settings' sampler and by DDPM over every level."""
    config, level = place.config, place.config.evaluation.level
    material = yield from train_model(place)
    few = yield from material.draw(config.sampler)
    every = yield from material.draw(Ddpm())
    real = yield from material.real()
    sides = (yield from material.features(few)), (yield from material.features(every))
    ratio = distance_ratio(real, *sides, level=level)
    names = f"{config.sampler.kind}-{few.network_calls:g}", f"ddpm-{every.network_calls:g}"
    (gap, *_) = compare_features(
        real, *sides, paired=False, level=level, statistics={"fd": frechet_at_this_n}, labels=names
    )
    timing = f"{len(few.images)} images in batches of {config.evaluation.batch} on {material.trained.model.device.type}"
    distances = {name: frechet_distance(real, side, level=level) for name, side in zip(names, sides, strict=True)}
    return Findings(
        (check(RATIO, ratio), check_number(SECONDS, few.seconds_per_image, timing)),
        {f"{name}/{each.name}": each for name, each in distances.items()} | {f"eval/{ratio.name}": ratio},
        (
            f"{names[0]} against {names[1]}: {describe_difference(gap)};"
            f" {few.seconds_per_image:.3g} and {every.seconds_per_image:.3g} seconds per image.",
        ),
    )


DDIM = Planned(
    name="E1.3",
    title="DDIM sampling",
    question="Are 50 steps of DDIM as good as 1000 of DDPM on the same network, and fast?",
    preset="quick",
    criteria=(str(RATIO), str(SECONDS)),
    run_time="4 minutes",
    measure=measure,
    changes={"sampler": {"kind": "ddim", "steps": 50, "eta": 0.0}, "evaluation.samples": 128},
)
