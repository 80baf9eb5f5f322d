"""Does the autoencoder of the full configuration keep what matters at 128x128?

Command: ``sbldm experiment E3.1``; on a 16 GB GPU. On a CPU it takes most of a day and is refused unless asked for.
Expected: the same limits as E1.1, with room. ``--preset paper`` trains the strided VAE of the plan instead.
"""

from dataclasses import replace

from search.reproduction.e1_1_reconstruction import RECONSTRUCTION

FULL_VAE = replace(
    RECONSTRUCTION,
    name="E3.1",
    title="full VAE",
    question="Does the autoencoder of the full configuration reconstruct slices of patients it has never seen?",
    preset="t4",
    run_time="not yet measured (a 16 GB GPU)",
)
