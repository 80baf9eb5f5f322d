"""Does weighting high frequencies in the loss help?

Command: ``sbldm search --study frequency --preset quick``; about 12 minutes on two CPU cores with two seeds.
Expected: weight 0 is the plain loss. Training losses at different weights are not comparable, and are not compared.
"""

from search.study import Study

FREQUENCY = Study(
    name="frequency",
    question="Does a radial frequency term in the loss change the quality of generated slices?",
    axes={"loss.weight": (0.0, 0.01, 0.1, 0.5)},
    baseline="loss.weight=0",
    run_time="about 12 minutes",
    base={"loss": {"kind": "radial", "snr_clip": 5.0}},
)
