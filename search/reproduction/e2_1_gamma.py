"""Does another noise schedule than linear give better slices?

Command: ``sbldm experiment E2.1``; about 10 minutes on two cores: the study ``gamma`` with two seeds.
Expected: gamma = 1 is linear itself and is not compared. Shape and terminal noise change together here; the study
``terminal`` tells them apart.
"""

from search.reproduction.studied import plan_study

GAMMA = plan_study(
    name="E2.1",
    title="gamma schedule",
    question="Does another noise schedule than linear give better slices?",
    hypothesis="another noise schedule than linear lowers the distance to real slices",
    study="gamma",
    run_time="10 minutes on two cores",
)
