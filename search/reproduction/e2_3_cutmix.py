"""Does latent CutMix give better slices?

Command: ``sbldm experiment E2.3``; about 10 minutes on two cores: the study ``cutmix`` with two seeds.
Expected: with 57 training patients there is little to learn by heart yet, which is what mixing is against.
"""

from search.reproduction.studied import plan_study

CUTMIX = plan_study(
    name="E2.3",
    title="latent CutMix",
    question="Does latent CutMix give better slices?",
    hypothesis="mixing latents in training lowers the distance to real slices",
    study="cutmix",
    run_time="10 minutes on two cores",
)
