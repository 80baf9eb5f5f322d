"""Which sampler needs the fewest network calls?

Command: ``sbldm search --study sampler --preset quick``; about 8 minutes on two CPU cores with two seeds.
Expected: samplers agree where steps are many; at few steps the solver of second order is closest to its own limit.
Each sampler takes its own default spacing of levels. All settings share one training per seed: only sampling and
evaluation are repeated.
"""

from search.study import Study

SAMPLER = Study(
    name="sampler",
    question="How few steps can DDPM, DDIM and DPM-Solver++ take before the quality of generated slices changes?",
    axes={
        "sampler": ({"kind": "ddpm"}, {"kind": "ddim"}, {"kind": "dpm-solver"}),
        "sampler.steps": (10, 20, 50),
    },
    baseline="ddpm sampler.steps=50",
    run_time="about 8 minutes",
)
