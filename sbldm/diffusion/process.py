"""The diffusion process as pure functions of a schedule; what a network predicts is absorbed here, once."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor

from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.errors import ConfigError

Prediction = Literal["eps", "x0", "v"]


@runtime_checkable
class NoisePredictor(Protocol):
    """Anything that predicts from a noisy batch: the network, or an exact formula in a test."""

    def __call__(
        self, noisy: Float[Tensor, "b ..."], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b ..."]:
        """Return the prediction for levels ``t`` in 1..T; cues are numbers the network is told per sample."""
        ...


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a prediction says about the clean sample and about the noise in it."""

    clean: Float[Tensor, "b ..."]
    noise: Float[Tensor, "b ..."]


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A predictor that knows its schedule and what it predicts; samplers see nothing else of a network."""

    predictor: NoisePredictor
    schedule: Schedule
    prediction: Prediction

    def __post_init__(self) -> None:
        """Refuse a prediction that cannot be read at the last level."""
        check_prediction(self.schedule, self.prediction)

    def __call__(self, noisy: Float[Tensor, "b ..."], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]) -> Estimate:
        """Return the estimate in the precision of ``noisy``, whatever the network computes in."""
        predicted = self.predictor(noisy, t, cues).to(noisy.dtype)
        return estimate(predicted, noisy, t, schedule=self.schedule, prediction=self.prediction)


def check_prediction(schedule: Schedule, prediction: Prediction) -> None:
    """Refuse noise prediction where the last level holds no signal: x0 would be 0 / 0 there."""
    if prediction == "eps" and schedule.is_zero_terminal:
        raise ConfigError(
            "a schedule with zero terminal signal needs prediction 'v' or 'x0',"
            f" but got {prediction!r}; change prediction, or set schedule.terminal to 'free' or 'match'"
        )


def diffuse(
    clean: Float[Tensor, "b ..."], noise: Float[Tensor, "b ..."], t: Int64[Tensor, " b"], schedule: Schedule
) -> Float[Tensor, "b ..."]:
    """Return the sample at level t; level 0 gives the clean sample back."""
    signal, spread = scales(t, clean, schedule)
    return signal * clean + spread * noise


def target(
    clean: Float[Tensor, "b ..."],
    noise: Float[Tensor, "b ..."],
    t: Int64[Tensor, " b"],
    schedule: Schedule,
    prediction: Prediction,
) -> Float[Tensor, "b ..."]:
    """Return what a perfect network of this kind would predict."""
    if prediction == "eps":
        return noise
    if prediction == "x0":
        return clean
    signal, spread = scales(t, clean, schedule)
    return signal * noise - spread * clean  # Salimans & Ho 2022


def estimate(
    predicted: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    t: Int64[Tensor, " b"],
    schedule: Schedule,
    prediction: Prediction,
) -> Estimate:
    """Return the clean sample and the noise that a prediction at level t in 1..T implies."""
    signal, spread = scales(t, noisy, schedule)
    if prediction == "eps":
        return Estimate(clean=(noisy - spread * predicted) / signal, noise=predicted)
    if prediction == "x0":
        return Estimate(clean=predicted, noise=(noisy - signal * predicted) / spread)
    return Estimate(clean=signal * noisy - spread * predicted, noise=signal * predicted + spread * noisy)


def scales(
    t: Int64[Tensor, " b"], like: Float[Tensor, "b ..."], schedule: Schedule
) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]]:
    """Return the weights of signal and noise at level t, rooted in float64 and then cast to ``like``."""
    alpha_bar = schedule.at(t, like)
    return alpha_bar.sqrt().to(like.dtype), (1 - alpha_bar).sqrt().to(like.dtype)
