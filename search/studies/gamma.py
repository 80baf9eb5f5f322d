"""Does the shape of the noise schedule matter?

Command: ``sbldm search --study gamma --preset quick``; about 10 minutes on two CPU cores with two seeds.
Expected: gamma = 1 equals linear to the bit and shares its training. Larger gamma means less noise at every level,
and at the end too (alpha_bar_T grows by three decades from 0.5 to 2): shape and terminal noise change together;
the study ``terminal`` tells them apart.
"""

from search.study import Study

GAMMA = Study(
    name="gamma",
    question="Does the shape of the noise schedule (linear, cosine, gamma) change the quality of generated slices?",
    axes={
        "schedule": (
            {"kind": "linear"},
            {"kind": "cosine"},
            {"kind": "gamma", "gamma": 0.5},
            {"kind": "gamma", "gamma": 1.0},
            {"kind": "gamma", "gamma": 2.0},
        )
    },
    baseline="linear",
    run_time="about 10 minutes",
)
