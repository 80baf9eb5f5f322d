"""Which resolutions of the network need attention?

Command: ``sbldm search --study attention --preset quick``; about 12 minutes on two CPU cores with two seeds.
Expected: latents are small, and the middle block attends in all settings, so that little may be left to gain. Each
setting says true or false for every resolution, full size first; presets with other than three resolutions refuse it.
"""

from search.study import Study

ATTENTION = Study(
    name="attention",
    question="Does attention at more resolutions change the quality of generated slices?",
    axes={"network.attention": ([False] * 3, [False, False, True], [False, True, True], [True] * 3)},
    baseline="network.attention=false,false,true",
    run_time="about 12 minutes",
    base={"network.channel_mult": [1, 2, 2]},
)
