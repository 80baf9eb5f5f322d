"""Slice-based latent diffusion: data, networks, diffusion and training."""

__version__ = "0.1.0"
