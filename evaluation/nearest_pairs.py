"""Look at what an audit found: suspicious samples beside their nearest training slices."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from evaluation.memorization import MemorizationAudit, NearestPair
from evaluation.registration import Registration, move, register
from evaluation.types import ImageSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_SPAN = 0.25  # of the colors: the noise on a copy must not look like a difference
UNSEEN = "slategray"


def draw_nearest_pairs(
    audit: MemorizationAudit, train: ImageSet, generated: ImageSet, path: Path, *, worst: int = 6
) -> Path:
    """Draw the most suspicious samples, the training slice nearest to each laid over it, and what differs; a PNG.

    The picture shows training patients.
    """
    from matplotlib.figure import Figure

    _check(audit, train, generated, worst)
    pairs = audit.pairs[:worst]
    samples = generated.images[[pair.generated for pair in pairs]].cpu()
    slices = train.images[[pair.train for pair in pairs]].cpu()
    found = register(samples, slices)
    figure = Figure(figsize=(2.3 * max(3, len(pairs)) + 1, 8.4), layout="constrained")
    figure.suptitle(_title(audit), fontsize=11)
    _draw(figure, pairs, samples.mean(1), move(slices, found).mean(1), found)
    return _write(figure, path)


def _check(audit: MemorizationAudit, train: ImageSet, generated: ImageSet, worst: int) -> None:
    if worst < 1:
        raise ValueError(f"worst must be at least 1, but got {worst=}")
    for name, images in (("real", train), ("generated", generated)):
        if len(images) != audit.n[name]:
            raise ValueError(f"the audit is of {audit.n[name]} {name} slices, but got {len(images)}")


def _draw(
    figure: "Figure",
    pairs: tuple[NearestPair, ...],
    samples: Float[Tensor, "k h w"],
    slices: Float[Tensor, "k h w"],
    found: Registration,
) -> None:
    axes = figure.subplots(3, len(pairs), squeeze=False)
    errors = (samples - slices).abs()
    known = errors[~errors.isnan()]
    gray = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0}
    scale = {"cmap": "magma", "vmin": 0.0, "vmax": max(float(known.max()), LEAST_SPAN)}
    for column, pair in enumerate(pairs):
        named = "\ncopy" if pair.named else ""
        how = _describe(bool(found.flipped[column]), *found.shift[column].tolist())
        _show(
            axes[0, column],
            samples[column],
            f"sample {pair.generated}{named}\np = {pair.p:.2g}, ratio {pair.ratio:.2g}",
            gray,
        )
        _show(axes[1, column], slices[column], f"training slice {pair.train}\n{how}", gray)
        mean = float(errors[column].nanmean())
        picture = _show(axes[2, column], errors[column], f"|difference|, mean {mean:.3f}", scale)
    figure.colorbar(picture, ax=list(axes[2]), label="intensity span 1")


def _title(audit: MemorizationAudit) -> str:
    return (
        f"Samples and their nearest training slices ({audit.space}): {audit.copies:.1%} of {audit.n['generated']}"
        f" count as copies, chance explains up to {audit.chance:.1%}\n"
        "ratio: distance to the training slice, over that slice's distance to another patient"
    )


def _describe(flipped: bool, down: int, right: int) -> str:
    """Say in few words how the training slice was laid over the sample."""
    words = ["flipped"] if flipped else []
    if down:
        words.append(f"{abs(down)} {'down' if down > 0 else 'up'}")
    if right:
        words.append(f"{abs(right)} {'right' if right > 0 else 'left'}")
    return ", ".join(words) or "as it is"


def _show(axes: "Axes", values: Float[Tensor, "h w"], title: str, scale: dict[str, Any]) -> Any:
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(UNSEEN)  # shines through where nothing is known
    return axes.imshow(torch.where(values.isnan(), torch.nan, values).numpy(), **scale)


def _write(figure: "Figure", path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=100)
    return path
