"""Which settings together give the best slices, the fastest, without copying the training patients?

Command: ``sbldm search --study joint --preset quick``; about 60 minutes on two CPU cores for its 30 trials.
Expected: a front of settings, each better or faster than all others; early stopping moves along it, the rest moves it.
Settings whose samples copy training slices more often than chance explains are off the front, however good they look.
Distances are to validation patients; those to the test patients stand beside them and had no part in the choice.
A front is picked by the very numbers it shows: run what it names anew with other seeds before any claim.
"""

from search.open_study import OpenStudy
from search.space import LogUniform, Uniform

JOINT = OpenStudy(
    name="joint",
    question="Which settings give the best slices at which cost, without copying the training patients?",
    ranges={
        "schedule.gamma": LogUniform(0.5, 2.0),
        "loss.weight": Uniform(0.0, 0.5),
        "cutmix.probability": Uniform(0.0, 0.5),
        "sampler.threshold": LogUniform(0.01, 0.3),
    },
    run_time="about 60 minutes",
    base={
        "schedule": {"kind": "gamma"},
        "loss": {"kind": "radial", "snr_clip": 5.0},
        "sampler": {"kind": "adaptive"},
    },
    objectives={"selection/fd": "minimize", "cost/seconds_per_image": "minimize"},
)
