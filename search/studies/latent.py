"""How small may the latents be?

Command: ``sbldm search --study latent --preset quick``; about 25 minutes on two CPU cores with two seeds.
Expected: fewer numbers per slice are easier to learn and harder to decode: read the reconstructions beside the
distances. Each of the four settings trains an autoencoder of its own, which its seeds share; halving the downsampling
makes four times as many latent positions, so those networks train about four times as long.
"""

from search.study import Study

LATENT = Study(
    name="latent",
    question="Do the channels and the downsampling of the latents change the quality of generated slices?",
    axes={"autoencoder.latent_channels": (8, 32), "autoencoder.downsample": (4, 8)},
    baseline="autoencoder.latent_channels=32 autoencoder.downsample=8",
    run_time="about 25 minutes",
)
