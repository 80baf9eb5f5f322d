"""Does the autoencoder keep what matters of slices it has never seen?

Command: ``sbldm experiment E1.1``; about a minute on one CPU core. No network is trained.
Expected: SSIM about 0.92 and PSNR about 27 dB on the phantom's test patients.
"""

from collections.abc import Generator

from search.reproduction.criterion import Criterion, check
from search.reproduction.planned import Findings, Planned, Workplace
from search.reproduction.trained import measure_reconstructions
from search.runner import StudyEvent

SSIM = Criterion("SSIM of reconstructed test slices", "above", 0.85)
PSNR = Criterion("PSNR of reconstructed test slices, dB", "above", 25.0)


def measure(place: Workplace) -> Generator[StudyEvent, None, Findings]:
    """Train the autoencoder, and hold reconstructions of test patients against both limits."""
    found = yield from measure_reconstructions(place)
    checks = check(SSIM, found["reconstruction/ssim"]), check(PSNR, found["reconstruction/psnr"])
    return Findings(checks, found)


RECONSTRUCTION = Planned(
    name="E1.1",
    title="VAE reconstruction",
    question="Does the autoencoder reconstruct slices of patients it has never seen?",
    preset="quick",
    criteria=(str(SSIM), str(PSNR)),
    run_time="1 minute",
    measure=measure,
    trains=("autoencoder",),
)
