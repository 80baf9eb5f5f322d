"""What noise schedules do, before anything is trained with them: a table, JSON, and a picture."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from evaluation import Table
from sbldm.diffusion import SCHEDULES, Schedule, ScheduleSpec
from sbldm.diffusion.samplers import Spacing, spaced_levels
from sbldm.files import atomic_write
from search.config import ExperimentConfig, override

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPACINGS: tuple[Spacing, ...] = get_args(Spacing)
USUAL_GAMMAS = (0.5, 1.0, 2.0)
# Okabe & Ito 2008: told apart by readers of any color vision; the dashes also survive a gray printer
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class ScheduleFacts:
    """What one schedule does.

    Attributes:
        label: its kind and all settings that differ from the default.
        settings: all of them, as JSON values.
        alpha_bar_end: share of signal variance at T.
        log_snr_end: natural logarithm of signal over noise variance at T; None for a zero terminal, where it is -inf.
        first_noisy_level: first t in 1..T with SNR below 1.
        early_steps: network calls at SNR above 1, by spacing of the sampler's levels.
        smallest_beta: of all steps.
        largest_beta: of all steps.
    """

    label: str
    settings: Mapping[str, Any]
    alpha_bar_end: float
    log_snr_end: float | None
    first_noisy_level: int
    early_steps: Mapping[str, int]
    smallest_beta: float
    largest_beta: float


@dataclass(frozen=True)
class ScheduleTable:
    """Schedules side by side.

    Attributes:
        facts: one record per schedule, in the order asked for.
        steps: network calls of the sampler whose levels are counted.
    """

    facts: tuple[ScheduleFacts, ...]
    steps: int

    def table(self) -> Table:
        """Return the words that are printed."""
        return Table(
            title="Noise schedules",
            header=(
                "schedule",
                "alpha_bar_T",
                "log-SNR at T",
                "first t with SNR < 1",
                *(f"{spacing} steps at SNR > 1" for spacing in SPACINGS),
                "betas",
            ),
            rows=tuple(_row(each, self.steps) for each in self.facts),
            caption=(
                "SNR = alpha_bar / (1 - alpha_bar), its logarithm is natural; levels t run from 1 to T. Steps are calls"
                f" of the network by a sampler that takes {self.steps}. At one number of trailing or uniform steps"
                " schedules also differ in how the steps are shared out; log-snr spreads them evenly over each"
                " schedule's own range."
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold."""
        return {"steps": self.steps, "schedules": [asdict(each) for each in self.facts]}


def choose_schedules(
    *,
    gammas: Sequence[float] = (),
    kinds: Sequence[str] = (),
    terminals: Sequence[str] = ("free",),
    timesteps: int = 1000,
) -> tuple[ScheduleSpec, ...]:
    """Return these kinds and gammas with each terminal; every kind and the usual gammas if none is named.

    Raises:
        ConfigError: a kind does not exist, or a value breaks a rule.
    """
    if not (gammas or kinds):
        gammas, kinds = USUAL_GAMMAS, [kind for kind in SCHEDULES.kinds() if kind != "gamma"]
    shapes = [{"kind": kind} for kind in kinds] + [{"kind": "gamma", "gamma": gamma} for gamma in gammas]
    return tuple(
        override(ExperimentConfig(), {"schedule": {**shape, "terminal": terminal, "timesteps": timesteps}}).schedule
        for shape in shapes
        for terminal in terminals
    )


def describe_schedules(specs: Sequence[ScheduleSpec], *, steps: int = 50) -> ScheduleTable:
    """Return what each schedule does.

    Args:
        specs: one or more schedules.
        steps: network calls of the sampler whose levels are counted; at most the levels of each schedule.

    Raises:
        ConfigError: a schedule has fewer levels than ``steps``.
    """
    return ScheduleTable(tuple(_describe(spec, steps) for spec in specs), steps)


def plot_schedules(specs: Sequence[ScheduleSpec], path: Path) -> Path:
    """Draw alpha_bar, log-SNR and betas of several schedules over t / T, as a PNG."""
    from matplotlib.figure import Figure

    if not specs:
        raise ValueError(f"a picture needs one schedule or more, but got {len(specs)}")
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for index, spec in enumerate(specs):
        how = {"color": COLORS[index % len(COLORS)], "linestyle": DASHES[index % len(DASHES)], "linewidth": 1.8}
        _draw(spec.build(), (left, middle, right), {"label": label_schedule(spec), **how})
    left.set(title="signal left: alpha_bar", ylim=(0, 1))
    middle.set(title="log-SNR (natural)")
    middle.axhline(0, color="gray", linewidth=0.8)
    right.set(title="noise added per step: beta", yscale="log")
    for axes in (left, middle, right):
        axes.set(xlabel="t / T", xlim=(0, 1))
        axes.grid(alpha=0.25)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(specs)), frameon=False
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    atomic_write(path, png.getvalue())
    return path


def label_schedule(spec: ScheduleSpec) -> str:
    """Return the kind, and the settings that differ from their defaults; a setting that names its kind always shows."""
    words = [spec.kind]
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if name == spec.kind:
            words[0] = f"{name}={value:g}"
        elif name != "kind" and value != field.default:
            words.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return " ".join(words)


def _describe(spec: ScheduleSpec, steps: int) -> ScheduleFacts:
    schedule = spec.build()
    end = float(schedule.log_snr[-1])
    return ScheduleFacts(
        label=label_schedule(spec),
        settings=spec.model_dump(mode="json"),
        alpha_bar_end=float(schedule.alpha_bar[-1]),
        log_snr_end=end if math.isfinite(end) else None,
        first_noisy_level=int((schedule.snr < 1).nonzero()[0]),
        early_steps={spacing: _early_steps(schedule, steps, spacing) for spacing in SPACINGS},
        smallest_beta=float(schedule.betas.min()),
        largest_beta=float(schedule.betas.max()),
    )


def _early_steps(schedule: Schedule, steps: int, spacing: Spacing) -> int:
    visited = list(spaced_levels(schedule, steps, spacing)[:-1])  # the walk ends at level 0 without a call
    return int((schedule.snr[visited] > 1).sum())


def _row(facts: ScheduleFacts, steps: int) -> tuple[str, ...]:
    end = "none: pure noise" if facts.log_snr_end is None else f"{facts.log_snr_end:.2f}"
    shares = (f"{facts.early_steps[spacing]} of {steps}" for spacing in SPACINGS)
    betas = f"{facts.smallest_beta:.3g} to {facts.largest_beta:.4g}"
    return (facts.label, f"{facts.alpha_bar_end:.3g}", end, str(facts.first_noisy_level), *shares, betas)


def _draw(schedule: Schedule, axes: tuple["Axes", "Axes", "Axes"], how: Mapping[str, Any]) -> None:
    share = [t / schedule.timesteps for t in range(schedule.timesteps + 1)]
    axes[0].plot(share, schedule.alpha_bar.numpy(), **how)
    last = schedule.timesteps if schedule.is_zero_terminal else schedule.timesteps + 1  # pure noise has no logarithm
    axes[1].plot(share[1:last], schedule.log_snr[1:last].numpy(), **how)
    axes[2].plot(share[1:], schedule.betas.numpy(), **how)
