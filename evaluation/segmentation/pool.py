"""What a training draws its batches from: parts with streams of their own, so that arms share their draws.

Each part is dealt like a deck of cards: shuffled, dealt to the end, shuffled again. What a part deals at a step depends
on its stream, its length, the batch, the step and the seed, and on nothing else in the pool.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from evaluation.segmentation.seeding import generator
from evaluation.segmentation.types import LabelledSet


@dataclass(frozen=True, eq=False)
class Part:
    """Slices that one stream deals.

    Attributes:
        stream: parts of one stream and one length deal the same rows in every pool.
        slices: what is dealt.
        ratio: slices dealt for each slice of the batch asked for, above 0.
    """

    stream: str
    slices: LabelledSet
    ratio: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a share of nothing."""
        if not 0 < self.ratio < float("inf"):
            raise ValueError(f"ratio must be above 0 and finite, but got {self.ratio}")

    def count(self, batch: int) -> int:
        """Return how many slices are dealt at each step, at least one."""
        return max(1, round(self.ratio * batch))


@dataclass(frozen=True, eq=False)
class Pool:
    """Parts that see the same classes in images of one size."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        """Refuse parts that cannot stand in one batch."""
        if not self.parts:
            raise ValueError("a pool must have a part to draw from, but got none")
        for name, values in (
            ("classes", {part.slices.names for part in self.parts}),
            ("rows and columns", {tuple(part.slices.images.shape[2:]) for part in self.parts}),
        ):
            if len(values) > 1:
                raise ValueError(f"all parts of a pool must have the same {name}, but got {sorted(values)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of classes 1, 2, ..."""
        return self.parts[0].slices.names


@dataclass(frozen=True, eq=False)
class Draw:
    """What one part deals at one step."""

    stream: str
    images: Float[Tensor, "b 1 h w"]
    labels: UInt8[Tensor, "b h w"]


def draw_batch(pool: Pool, step: int, seed: int, *, batch: int) -> tuple[Draw, ...]:
    """Return what each part deals at a step, counted from 1; the same arguments return the same slices.

    Args:
        pool: to draw from.
        step: of the training.
        seed: another seed shuffles otherwise.
        batch: slices dealt by a part of ratio 1.
    """
    return tuple(_deal(part, step, seed, part.count(batch)) for part in pool.parts)


def draw_rows(length: int, *, count: int, step: int, seed: int, stream: str) -> Int64[Tensor, " count"]:
    """Return which of ``length`` rows are dealt at a step, counted from 1; each deck holds every row once."""
    places = torch.arange((step - 1) * count, step * count)
    decks = places // length
    rows = torch.empty_like(places)
    for deck in range(int(decks[0]), int(decks[-1]) + 1):
        order = torch.randperm(length, generator=generator(seed, "deck", stream, deck))
        rows[decks == deck] = order[places[decks == deck] % length]
    return rows


def _deal(part: Part, step: int, seed: int, count: int) -> Draw:
    rows = draw_rows(len(part.slices), count=count, step=step, seed=seed, stream=part.stream)
    return Draw(part.stream, part.slices.images[rows], part.slices.labels[rows])
