"""How early may sampling stop?

Command: ``sbldm search --study early-stop --preset quick``; about 5 minutes on two CPU cores with two seeds.
Expected: threshold 0 never stops early. All thresholds share one training; only sampling and evaluation are repeated.
"""

from search.study import Study

EARLY_STOP = Study(
    name="early-stop",
    question="How many network calls can early stopping save before the quality of generated slices changes?",
    axes={"sampler.threshold": (0.0, 0.02, 0.05, 0.1, 0.2)},
    baseline="sampler.threshold=0",
    run_time="about 5 minutes",
    base={"sampler": {"kind": "adaptive"}},
)
