"""Does a frequency-aware loss give better slices?

Command: ``sbldm experiment E2.2``; about 12 minutes on two cores: the study ``frequency`` with two seeds.
Expected: what blurs is the autoencoder as well, which this loss does not train; a small effect if any.
"""

from search.reproduction.studied import plan_study

FREQUENCY = plan_study(
    name="E2.2",
    title="frequency loss",
    question="Does a frequency-aware loss give better slices?",
    hypothesis="a frequency-aware term in the loss lowers the distance to real slices",
    study="frequency",
    run_time="12 minutes on two cores",
)
