"""Does the shape of the noise schedule matter once its terminal noise is held fixed?

Command: ``sbldm search --study terminal --preset quick``; about 35 minutes on two CPU cores with two seeds.
Expected: at gamma = 1 the two terminals are one schedule and give identical rows. The sampler's steps need no training
of their own, so that ten trainings serve all trials. ``--set sampler.spacing=log-snr`` asks the same with steps that
are spread alike over the signal-to-noise ratios of every schedule.
"""

from search.study import Study

TERMINAL = Study(
    name="terminal",
    question="Does gamma change the quality of generated slices by its shape, or only by the signal it leaves at T?",
    axes={
        "schedule.gamma": (0.5, 1.0, 2.0),
        "schedule.terminal": ("free", "match"),
        "sampler.steps": (10, 20, 50),
    },
    baseline="schedule.gamma=1 schedule.terminal=free sampler.steps=50",
    run_time="about 35 minutes",
    base={"schedule": {"kind": "gamma"}},
)
