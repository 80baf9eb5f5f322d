"""Does the diffusion network learn at all?

Command: ``sbldm experiment E1.2``; about 3 minutes on one CPU core. It shares its training with E1.3.
Expected: the loss on validation patients falls, and samples are less than half as far from real slices as those of the
untrained network, as told by the Frechet distance. The ratio has no unit: it depends little on the extractor.
"""

from collections.abc import Generator

from evaluation.ratio import distance_ratio
from search.experiment import run_experiment
from search.recording import record_run
from search.reproduction.criterion import Criterion, check, check_difference
from search.reproduction.planned import Findings, Planned, Workplace
from search.reproduction.trained import train_model, validation_gap
from search.runner import StudyEvent

LOSS = Criterion("validation loss, trained less untrained network", "below", 0.0)
RATIO = Criterion("Frechet distance, trained over untrained network", "below", 0.6)
SIDES = {
    "eval": "trained",
    "untrained": "untrained",
    "reconstruction": "reconstructions",
    "floor": "other real patients",
}


def measure(place: Workplace) -> Generator[StudyEvent, None, Findings]:
    """Train and evaluate one model, and hold it against itself before training."""
    result = yield from record_run(place.config, run_experiment(place.config, place.cache), place.tracker)
    material = yield from train_model(place)
    sampler = place.config.sampler
    drawn = yield from material.draw(sampler)
    noise = yield from material.draw(sampler, model=material.blank(), seed=0)
    real = yield from material.real()
    sides = (yield from material.features(drawn)), (yield from material.features(noise))
    ratio = distance_ratio(real, *sides, level=place.config.evaluation.level)
    gap, losses = validation_gap(material)
    lead = f"fd_{ratio.extractor}"
    distances = [f"{result.results[f'{kind}/{lead}'].point:.4g} {words}" for kind, words in SIDES.items()]
    return Findings(
        (check_difference(LOSS, gap), check(RATIO, ratio)),
        result.results | {f"eval/{ratio.name}": ratio},
        (f"{losses} {lead}: {', '.join(distances)}.",),
    )


SANITY = Planned(
    name="E1.2",
    title="diffusion sanity",
    question="Does the network learn: does its loss fall, and do its samples come nearer to real slices?",
    preset="quick",
    criteria=(str(LOSS), str(RATIO)),
    run_time="3 minutes",
    measure=measure,
)
