"""Does min-SNR weighting help, and does that depend on what the network predicts?

Command: ``sbldm search --study weighting --preset quick``; about 15 minutes on two CPU cores with two seeds.
Expected: with min-SNR weights all three predictions minimize one loss (Hang et al. 2023) and differ by what the network
finds easy; without them each prediction weighs the noise levels in its own way.
"""

from search.study import Study

WEIGHTING = Study(
    name="weighting",
    question="Does min-SNR weighting change the quality of generated slices, for each kind of prediction?",
    axes={"loss": ({"kind": "mse"}, {"kind": "mse", "snr_clip": 5.0}), "prediction": ("x0", "eps", "v")},
    baseline="snr_clip=5 prediction=x0",
    run_time="about 15 minutes",
)
