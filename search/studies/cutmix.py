"""Does mixing boxes of latents from other patients help?

Command: ``sbldm search --study cutmix --preset quick``; about 10 minutes on two CPU cores with two seeds.
Expected: without being told, a network learns to draw seams; here it is told which latents are mixed.
"""

from search.study import Study

CUTMIX = Study(
    name="cutmix",
    question="Does latent CutMix change the quality of generated slices?",
    axes={"cutmix.probability": (0.0, 0.25, 0.5)},
    baseline="cutmix.probability=0",
    run_time="about 10 minutes",
)
