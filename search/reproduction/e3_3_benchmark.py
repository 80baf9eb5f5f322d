"""How far are 1000 samples of the full configuration from real slices?

Command: ``sbldm experiment E3.3 --set evaluation.extractor=inception --set evaluation.weights=FILE``; on a 16 GB GPU.
It shares its training with E3.2.
Expected: a FID below 100, ideally below 50. The limit is one of Inception's features: another extractor has another
scale, so that without those weights the number is told and the criterion stays open.
"""

from collections.abc import Generator

from evaluation import build_extractor
from search.experiment import run_experiment
from search.recording import record_run
from search.reproduction.criterion import Criterion, check
from search.reproduction.e1_1_reconstruction import SSIM
from search.reproduction.planned import Findings, Planned, Workplace
from search.runner import StudyEvent

FID = Criterion("FID of 1000 samples", "below", 100.0)
IDEAL = Criterion("FID of 1000 samples, ideally", "below", 50.0, counts=False)
OTHER_SCALE = "these limits are of Inception's features: name them by evaluation.extractor and evaluation.weights"


def measure(place: Workplace) -> Generator[StudyEvent, None, Findings]:
    """Train and evaluate one model with 1000 samples."""
    spec = place.config.evaluation
    result = yield from record_run(place.config, run_experiment(place.config, place.cache), place.tracker)
    fid = next(each for name, each in result.results.items() if name.startswith("eval/fd_"))
    withheld = "" if spec.extractor == "inception" else OTHER_SCALE
    checks = (
        check(FID, fid, withheld=withheld),
        check(IDEAL, fid, withheld=withheld),
        check(SSIM, result.results["reconstruction/ssim"]),
    )
    resize = build_extractor(spec.extractor, spec.weights).preparation
    words = f"{fid.name} of {fid.n['generated']} samples against {fid.n['real']} slices; images are {resize}."
    return Findings(checks, result.results, (words,))


BENCHMARK = Planned(
    name="E3.3",
    title="FID and SSIM benchmark",
    question="How far are 1000 samples of the full configuration from real slices?",
    preset="t4",
    criteria=(str(FID), str(IDEAL), str(SSIM)),
    run_time="not yet measured (a 16 GB GPU)",
    measure=measure,
    changes={"evaluation.samples": 1000},
)
