"""The stages of an experiment: each looks in the cache first, and yields what a watcher may know while it works."""

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from sbldm.data import PreparedData, load_prepared, prepare_steps, save_prepared
from sbldm.data.conditions import fingerprint_conditions
from sbldm.files import atomic_write, sha256
from sbldm.latent import LatentCodec, encode_latents, measure_codec
from sbldm.model import Conditioner, ConditioningSpec, LatentDiffusion, ModelSpec, measure_conditions
from sbldm.nn import Autoencoder
from sbldm.nn.weights import from_bytes, load_into, to_bytes
from sbldm.spec import digest_of
from sbldm.training import AutoencoderTask, DiffusionTask, TrainingSpec, plan_watch
from sbldm.training.stages import EVERY_TENTH
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.downstream.identity import keep_patients
from search.events import Event, Progress, StageFinished, StageStarted
from search.together import found_together
from search.training import track_costs, train_task, validation_set

Meta = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model, where it lies, what names it, and what it cost."""

    model: LatentDiffusion
    directory: Path
    digest: str
    codec_digest: str
    untrained_digest: str
    """Names the same model before it learned anything; all seeds share it."""
    costs: dict[str, float]
    """Of both stages, with the network's loss on validation patients, under the names they are tracked by."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data ready to train on, and the digest of the settings and files that made them."""

    data: PreparedData
    digest: str


def cached(
    cache: Cache, stage: str, digest: str, build: Callable[[Entry], Generator[Event, None, Meta]]
) -> Generator[Event, None, tuple[Entry, Meta]]:
    """Return a stage's output, made now if it is not there whole."""
    entry = cache.entry(stage, digest)
    with entry.lock():
        meta = entry.meta()
        if meta is not None:
            yield StageFinished(stage, float(meta["seconds"]), cached=True)
            return entry, meta
        entry.clear()
        yield StageStarted(stage)
        started = time.perf_counter()
        meta = yield from build(entry)
        meta = {"seconds": time.perf_counter() - started} | meta
        entry.commit(meta)
        yield StageFinished(stage, float(meta["seconds"]), cached=False)
    return entry, meta


def data_stage(config: ExperimentConfig, cache: Cache) -> Generator[Event, None, Prepared]:
    """Return prepared slices, split by patient."""
    settings = [part.model_dump(mode="json") for part in (config.data, config.prepare, config.split)]
    told = [fingerprint_conditions(config.data.conditions)] if config.data.conditions else []
    digest = digest_of([*settings, config.data.fingerprint(), *told])

    def build(entry: Entry) -> Generator[Event, None, Meta]:
        steps = prepare_steps(config.data, prepare=config.prepare, split=config.split)
        for step in steps:
            yield Progress("data", step.done, step.total)
        assert step.data is not None, "the last step carries the data"
        save_prepared(entry.directory, step.data)
        return {}

    entry, _ = yield from found_together(cache, "data", digest, build, find=cached)
    return Prepared(load_prepared(entry.directory), digest)


def recall_data(digest: str, cache: Cache) -> Prepared | None:
    """Return data prepared earlier, or None where they are not whole in this cache."""
    entry = cache.entry("data", digest)
    return Prepared(load_prepared(entry.directory), digest) if entry.meta() is not None else None


def codec_stage(
    config: ExperimentConfig, data: PreparedData, cache: Cache
) -> Generator[Event, None, tuple[LatentCodec, str]]:
    """Return the trained autoencoder with its latent statistics, and the digest of all that made it."""
    spec, training = model_spec(config, data), config.autoencoder_training
    settings = [spec.autoencoder.model_dump(mode="json"), _decisive(training), config.autoencoder_seed]
    digest = digest_of([data.train.without_conditions().digest(), *settings])  # it never sees conditions

    def fit(entry: Entry) -> Generator[Event, None, tuple[Autoencoder, Meta]]:
        task = AutoencoderTask(spec, data.train, seed=config.autoencoder_seed)
        costs = yield from train_task(task, training, config.autoencoder_seed, entry, config, count=len(data.train))
        assert isinstance(task.averaged, Autoencoder)
        return task.averaged, costs

    def build(entry: Entry) -> Generator[Event, None, Meta]:
        autoencoder, costs = yield from fit(entry)
        codec = measure_codec(autoencoder, data.train, spec.autoencoder.scaling)
        write_tensors(entry.directory / "codec.safetensors", codec.state_dict())
        keep_patients(entry.directory, data.train)
        return costs

    entry, _ = yield from found_together(cache, "autoencoder", digest, build, find=cached, help_build=fit)
    codec = LatentCodec(spec.build_autoencoder(0), spec.classes, spec.autoencoder.latent_channels)
    load_into(codec, read_tensors(entry.directory / "codec.safetensors"), "codec.safetensors")
    return codec.eval().requires_grad_(False), digest


def network_stage(
    config: ExperimentConfig,
    data: PreparedData,
    codec: LatentCodec,
    codec_digest: str,
    cache: Cache,
    *,
    conditioning: ConditioningSpec = EVERY_TENTH,
) -> Generator[Event, None, Trained]:
    """Return the trained model; settings that make the same noise levels and gradients share one training."""
    spec, conditioner = model_spec(config, data), measure_training(data)
    digest, untrained_digest = name_network(config, codec_digest, conditioner, conditioning)

    def fit(entry: Entry) -> Generator[Event, None, tuple[nn.Module, Meta]]:
        latents = yield from _latents(codec, data, codec_digest, cache)
        task = DiffusionTask(
            spec,
            latents,
            data.train.positions,
            loss=config.loss.reduced(),
            cutmix=config.cutmix,
            seed=config.seed,
            conditioner=conditioner,
            conditioning=conditioning,
            levels=config.training_levels,
        )
        unseen = validation_set(codec, data.validation, conditioner)
        watch = plan_watch(unseen, config.training, task.denoiser.schedule, config.prediction)
        costs = yield from train_task(
            task, config.training, config.seed, entry, config, count=len(data.train), watch=watch
        )
        return task.averaged, costs

    def build(entry: Entry) -> Generator[Event, None, Meta]:
        network, costs = yield from fit(entry)
        LatentDiffusion(spec, codec, network, data.train.positions, conditioner).save(entry.directory)
        keep_patients(entry.directory, data.train)
        return costs

    entry, meta = yield from found_together(cache, "diffusion", digest, build, find=cached, help_build=fit)
    model = LatentDiffusion.load(entry.directory)
    costs = track_costs(meta, cache.entry("autoencoder", codec_digest).meta() or {})
    return Trained(replace(model, spec=spec), entry.directory, digest, codec_digest, untrained_digest, costs)


def name_network(
    config: ExperimentConfig,
    codec_digest: str,
    conditioner: Conditioner | None = None,
    conditioning: ConditioningSpec = EVERY_TENTH,
) -> tuple[str, str]:
    """Return the digests of a trained network and of the same before it learned anything.

    They name the form of a network that is told conditions from its second on, so that one that was cached in an
    older form is trained anew. All other digests stay as they are.
    """
    settings = [part.model_dump(mode="json") for part in (config.network, config.loss.reduced(), config.cutmix)]
    settings.append(_decisive(config.training))
    levels = sha256(config.schedule.build().alpha_bar.numpy().tobytes())
    form = config.network.conditioned_form
    told = [conditioner.digest(), *([form] if form > 1 else [])] if conditioner else []
    withheld = [conditioning.model_dump(mode="json")] if conditioner else []
    beside = (config.model_dump(mode="json", include={name}) for name in ("skip", "training_levels"))
    skip, law = ([part] if part else [] for part in beside)  # nothing where they are not in use
    trained = [codec_digest, levels, config.prediction, config.seed, *settings, *told, *withheld, *skip, *law]
    blank = ["untrained", codec_digest, levels, config.prediction, settings[0], *told, *skip]
    return digest_of(trained), digest_of(blank)


def untrained(config: ExperimentConfig, data: PreparedData, trained: LatentDiffusion) -> LatentDiffusion:
    """Return the model before its network has learned anything; what a skip has in closed form it keeps."""
    spec = model_spec(config, data)
    network = spec.build_network(0).requires_grad_(False)
    for name, closed in trained.network.named_buffers():
        network.get_buffer(name).copy_(closed)
    return LatentDiffusion(spec, trained.codec, network, data.train.positions, measure_training(data))


def model_spec(config: ExperimentConfig, data: PreparedData) -> ModelSpec:
    """Return what the model is to be, given the data it will see."""
    return ModelSpec(
        size=data.train.images.shape[-1],
        label_names=data.train.label_names,
        autoencoder=config.autoencoder,
        network=config.network,
        schedule=config.schedule,
        prediction=config.prediction,
        skip=config.skip,
        conditions=data.train.condition_names,
    )


def measure_training(data: PreparedData) -> Conditioner | None:
    """Return the conditions of the training slices with their scale, where there are any."""
    rows = data.train.conditions
    return measure_conditions(rows, data.train.subjects) if rows else None


def _decisive(training: TrainingSpec) -> dict[str, Any]:
    """Return the training settings that decide the weights: how often they are saved or measured does not."""
    return training.model_dump(mode="json", exclude={"commit_every", "commit_seconds", "validations"})


def _latents(
    codec: LatentCodec, data: PreparedData, codec_digest: str, cache: Cache
) -> Generator[Event, None, Float[Tensor, "n z h w"]]:
    def build(entry: Entry) -> Generator[Event, None, Meta]:
        yield Progress("latents", 0, len(data.train))
        write_tensors(entry.directory / "latents.safetensors", {"train": encode_latents(codec, data.train)})
        return {}

    entry, _ = yield from found_together(cache, "latents", codec_digest, build, find=cached)
    return read_tensors(entry.directory / "latents.safetensors")["train"]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors whole or not at all."""
    atomic_write(path, to_bytes(tensors))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file that this project wrote."""
    return from_bytes(path.read_bytes(), path.name)
