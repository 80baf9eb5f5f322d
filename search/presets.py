"""Complete budgets, from minutes on a laptop to a 16 GB GPU; each is laid over the defaults."""

from typing import Any

from sbldm.errors import ConfigError
from sbldm.spec import did_you_mean
from search.config import ExperimentConfig, build_config

QUICK: dict[str, Any] = {
    "data": {"kind": "phantom", "patients": 96, "slices": 8},
    "prepare": {"size": 64},
    "split": {"train": 0.6, "validation": 0.08, "test": 0.32},
    "autoencoder": {
        "kind": "patch",
        "latent_channels": 32,
        "downsample": 8,
        "hidden_dims": [32, 64, 128],
        "scaling": "scalar",
        "label_weight": 0.3,
        "label_balance": 1.0,
        "pca_label_weight": 0.3,
    },
    "autoencoder_training": {
        "steps": 600,
        "batch": 8,
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "warmup_steps": 20,
        "ema_decay": 0.99,
    },
    "network": {"kind": "unet", "model_channels": 32, "channel_mult": [1, 2, 2], "num_res_blocks": 1},
    "schedule": {"kind": "linear"},
    "prediction": "x0",
    "loss": {"kind": "mse", "snr_clip": 5.0},
    "training": {
        "steps": 1000,
        "batch": 16,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 50,
        "weight_decay": 0.01,
        "beta2": 0.99,
        "ema_decay": 0.999,
    },
    "sampler": {"kind": "ddim", "steps": 50, "eta": 1.0},
    "evaluation": {"samples": 256},
}
LAPTOP: dict[str, Any] = QUICK | {
    "data": {"kind": "phantom", "patients": 1200, "slices": 12},
    "split": {"train": 0.88, "validation": 0.04, "test": 0.08},
    "autoencoder": QUICK["autoencoder"] | {"latent_channels": 4, "downsample": 4, "hidden_dims": [32, 64]},
    "autoencoder_training": QUICK["autoencoder_training"] | {"steps": 4000, "learning_rate": 2e-3, "ema_decay": 0.999},
    "network": QUICK["network"] | {"model_channels": 48},
    "prediction": "v",
    "skip": {"kind": "gaussian"},
    "training_levels": {"kind": "log-normal", "center": 1.0, "spread": 2.4},
    "loss": {"kind": "mse"},
    "training": QUICK["training"] | {"steps": 12000, "warmup_steps": 200, "learning_rate": 1.5e-3},
    "sampler": {"kind": "dpm-solver", "steps": 30, "autoguidance": 1.0},
    "evaluation": {"samples": 500},
}
T4: dict[str, Any] = {
    "data": {"kind": "phantom", "patients": 240, "slices": 16, "size": 128},
    "prepare": {"size": 128},
    "autoencoder": QUICK["autoencoder"]
    | {"latent_channels": 8, "downsample": 4, "hidden_dims": [64, 128], "kl_weight": 1e-5, "kl_warmup_steps": 1000},
    "autoencoder_training": {
        "steps": 10000,
        "batch": 32,
        "learning_rate": 5e-4,
        "schedule": "cosine",
        "warmup_steps": 100,
    },
    "network": {
        "kind": "unet",
        "model_channels": 64,
        "channel_mult": [1, 2, 4],
        "num_res_blocks": 2,
        "dropout": 0.1,
    },
    "schedule": {"kind": "cosine"},
    "prediction": "x0",
    "loss": {"kind": "mse", "snr_clip": 5.0},
    "training": {"steps": 50000, "batch": 16, "learning_rate": 2e-4, "warmup_steps": 500, "ema_decay": 0.9999},
    "sampler": {"kind": "ddim", "steps": 50},
    "evaluation": {"samples": 1000},
}
PAPER: dict[str, Any] = T4 | {
    "autoencoder": {
        "kind": "strided",
        "latent_channels": 4,
        "downsample": 4,
        "hidden_dims": [32, 64, 128, 256],
        "kl_weight": 1e-5,
        "kl_warmup_steps": 1000,
    },
    "autoencoder_training": {"steps": 20000, "batch": 32, "learning_rate": 1e-4},
    "prediction": "eps",
    "loss": {"kind": "mse"},
}
PRESETS = {"quick": QUICK, "laptop": LAPTOP, "t4": T4, "paper": PAPER}


def preset(name: str) -> ExperimentConfig:
    """Return the experiment of a preset, or say which presets there are."""
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, list(PRESETS))}; known: {', '.join(PRESETS)}")
    return build_config(PRESETS[name])
