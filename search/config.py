"""Everything that decides a result, in one frozen object; and how to change a part of it by its dotted path."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from evaluation import EXTRACTORS
from sbldm.data import AnySource, PhantomSpec, PrepareSpec, SplitSpec
from sbldm.diffusion import (
    AnyLoss,
    AnySampler,
    AnySchedule,
    AnySkip,
    AnyTrainingLevels,
    CutMixSpec,
    NoSkip,
    Prediction,
    Uniform,
    check_prediction,
)
from sbldm.diffusion.losses.mse import MeanSquaredError
from sbldm.diffusion.samplers.ddim import Ddim
from sbldm.diffusion.schedules.linear import Linear
from sbldm.errors import ConfigError
from sbldm.model import ConditioningSpec
from sbldm.nn import AnyAutoencoder, AnyNetwork
from sbldm.nn.autoencoders.patch import Patch
from sbldm.nn.networks.unet import UNet
from sbldm.spec import COMPLETE, Spec, did_you_mean
from sbldm.training import DeviceName, TrainingSpec

PRIVATE = "private"


class EvaluationSpec(Spec):
    """Say what is measured, on how many samples, at which confidence."""

    samples: int = Field(256, ge=2)
    """Generated slices that are compared with the real test slices."""
    batch: int = Field(64, ge=1)
    extractor: str = "lite0"
    """Network whose features are compared."""
    weights: Path | None = None
    """Weights of an extractor that does not come with an installed package."""
    companion: str | None = "lite0_block"
    """Second network, for a ranking that only one network sees is no finding; null leaves it out."""
    companion_weights: Path | None = None
    """Weights of the second extractor, where it needs a file."""
    lpips_weights: Path | None = None
    """Weights of LPIPS' own AlexNet; LPIPS is measured when they are given."""
    level: float = Field(0.95, gt=0, lt=1)
    """Confidence of all intervals."""
    log_real_images: bool = False
    """Show real slices beside their reconstructions in the run's pictures; phantoms are always shown."""

    @field_validator("extractor", "companion")
    @classmethod
    def _extractor_exists(cls, name: str | None) -> str | None:
        if name is not None and name not in EXTRACTORS:
            raise ValueError(
                f"extractor must be one of {', '.join(sorted(EXTRACTORS))}, but got {name!r}"
                f"{did_you_mean(name, sorted(EXTRACTORS))}"
            )
        return name

    @model_validator(mode="after")
    def _extractors_differ(self) -> "EvaluationSpec":
        if self.companion == self.extractor:
            raise ValueError(f"companion must be another extractor or null, but got {self.companion!r} twice")
        return self


class ExperimentConfig(Spec):
    """Describe one experiment from files to numbers; equal configs give equal results."""

    younger: ClassVar[tuple[str, ...]] = ("conditioning", "skip", "training_levels")
    seed: int = Field(0, ge=0)
    """Of the diffusion training and the sampling."""
    data: AnySource = PhantomSpec()
    prepare: PrepareSpec = PrepareSpec()
    split: SplitSpec = SplitSpec()
    autoencoder: AnyAutoencoder = Patch()
    autoencoder_training: TrainingSpec = TrainingSpec(steps=300)
    autoencoder_seed: int = Field(0, ge=0)
    """Of the autoencoder, apart from ``seed``, so that all seeds of a study share one autoencoder."""
    network: AnyNetwork = UNet()
    schedule: AnySchedule = Linear()
    prediction: Prediction = "x0"
    skip: AnySkip = NoSkip()
    training_levels: AnyTrainingLevels = Uniform()
    loss: AnyLoss = MeanSquaredError()
    cutmix: CutMixSpec = CutMixSpec()
    conditioning: ConditioningSpec = ConditioningSpec()
    training: TrainingSpec = TrainingSpec(steps=1000)
    sampler: AnySampler = Ddim()
    evaluation: EvaluationSpec = EvaluationSpec()
    device: DeviceName = "auto"

    @model_validator(mode="after")
    def _parts_agree(self) -> "ExperimentConfig":
        schedule = self.schedule.build()
        check_prediction(schedule, self.prediction)
        self.training_levels.probabilities(schedule)  # refuses a law that misses the schedule
        self.skip.check_autoguidance(self.sampler.autoguidance)
        return self

    def public(self) -> dict[str, Any]:
        """Return the settings as JSON values without any path of this machine."""
        settings: dict[str, Any] = _without_paths(self.model_dump(mode="python"))
        return settings


def build_config(settings: Mapping[str, Any]) -> ExperimentConfig:
    """Return validated settings, or one line that names each wrong key, its rule and its value."""
    try:
        return ExperimentConfig.model_validate(dict(settings))
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(problem) for problem in error.errors())) from None


def override(config: ExperimentConfig, changes: Mapping[str, Any]) -> ExperimentConfig:
    """Return the config with some settings changed by dotted path, e.g. ``{"schedule.gamma": 0.5}``.

    A mapping replaces a whole section. A new ``kind`` starts that section from its defaults.

    Raises:
        ConfigError: a path does not exist (the nearest one is named) or a value breaks a rule.
    """
    settings = config.model_dump(mode="python", context=COMPLETE)
    whole = [path for path, value in changes.items() if isinstance(value, Mapping) or path.endswith(".kind")]
    for path in sorted(whole, key=lambda path: path.count(".")):
        settings = _complete(_set(settings, path, changes[path]), path.partition(".")[0])
    for path in changes.keys() - set(whole):
        settings = _set(settings, path, changes[path])
    return build_config(settings)


def layer(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as changes by dotted path; a section that names its kind stays whole."""
    changes: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and "kind" not in value:
            changes |= layer(value, f"{path}.")
        else:
            changes[path] = value
    return changes


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return each single setting under its dotted path, as text."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _complete(settings: dict[str, Any], section: str) -> dict[str, Any]:
    """Give a section that was replaced the defaults of what it now is, so that its settings can be changed in turn."""
    about = ExperimentConfig.model_fields[section]
    try:
        kind: Any = Annotated[about.annotation, about]
        value: Any = TypeAdapter(kind).validate_python(settings[section])
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(problem, section) for problem in error.errors())) from None
    return settings | {section: value.model_dump(mode="python", context=COMPLETE) if isinstance(value, Spec) else value}


def _set(settings: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    if head not in settings:
        raise ConfigError(f"unknown setting {path!r}{_hint(path, settings)}")
    if rest == "kind" and isinstance(settings[head], dict) and settings[head].get("kind") != value:
        return settings | {head: {"kind": value}}
    if not rest:
        return settings | {head: value}
    if not isinstance(settings[head], dict):
        raise ConfigError(f"unknown setting {path!r}: {head} has no parts")
    try:
        return settings | {head: _set(settings[head], rest, value)}
    except ConfigError as error:
        kind = settings[head].get("kind")
        of = f" of {head} kind {kind!r}" if kind else f" of {head}"
        raise ConfigError(str(error).replace(repr(rest), repr(path), 1) + of) from None


def _hint(path: str, settings: Mapping[str, Any]) -> str:
    return did_you_mean(path, list(settings)) or f"; known: {', '.join(settings)}"


def _explain(problem: Any, *above: str) -> str:
    where = ".".join([*above, *map(str, problem["loc"])]) or "settings"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = list(ExperimentConfig.model_fields)
        return f"unknown setting {where!r}{did_you_mean(where, known)}"
    return f"{where}: {message}, but got {problem['input']!r}" if "but got" not in message else f"{where}: {message}"


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_paths(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(part) for part in value]
    return PRIVATE if isinstance(value, Path) else value
