# SPDX-License-Identifier: Apache-2.0
"""Masks that a head's cells compose, coefficients times prototypes, inside the objects' boxes.

Several cells answer for an object and share its box: prototypes are gathered once for all of
them, and only where the box is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .detection import Matches

MOST_VALUES = 1 << 22  # of masks in one step; bounds the memory of crowded batches
MOST_PADDING = 2  # the largest box of a step over its smallest; all are padded to the largest
SMALL = 16  # cells, which are not worth a step of their own


class Answers(NamedTuple):
    """The cells of all levels that answer for objects with a mask, M of them.

    Attributes:
        target: (M,) row of the targets.
        group: (M,) level times B plus picture.
        weights: (M,) how certain their labels are.
        coefficients: (M, masks).
    """

    target: Tensor
    group: Tensor
    weights: Tensor
    coefficients: Tensor


class Crops(NamedTuple):
    """Objects with boxes of like area, n of them, for each of which up to K cells answer.

    Attributes:
        target: (n,) row of the targets.
        answers: (n, K) index into the `Answers`.
        real: (n, K) bool; other answers are padding.
        places: (n, P) the prototypes' cells in the box, as index into all of a batch's (B, H, W).
        inside: (n, P) bool; other places are padding.
        area: (n,) of the box in cells, at least 1.
    """

    target: Tensor
    answers: Tensor
    real: Tensor
    places: Tensor
    inside: Tensor
    area: Tensor


def answers_of(levels: Sequence[Matches], masks: int, known: Tensor | None = None) -> Answers:
    """Return what cells answer for objects.

    Args:
        levels: from `DetectionLoss.match`.
        masks: coefficients of a mask, the last of a cell's values.
        known: (N,) bool, the targets that have a mask; None for all.
    """
    parts = []
    for number, (grid, found, rows) in enumerate(levels):
        group = number * len(grid) + found.picture
        part = Answers(found.target, group, found.weights, rows[:, rows.shape[1] - masks :])
        parts.append(part if known is None else Answers(*(v[known[found.target]] for v in part)))
    return Answers(*(torch.cat(values) for values in zip(*parts, strict=True)))


def crops_of(targets: Tensor, answering: Tensor, height: int, width: int) -> Iterator[Crops]:
    """Yield the objects that cells answer for, with their places among the prototypes.

    Cells count whose centre lies in the box, and always the one that holds the box's centre.

    Args:
        targets: (N, 6 or more) picture, class, centre x, centre y, width, height, the last four
            relative to the picture.
        answering: (M,) the row of the targets that each cell answers for.
        height: rows of the prototypes.
        width: their columns.
    """
    if not len(answering):
        return
    rows, objects, counts = answering.unique(return_inverse=True, return_counts=True)
    order, starts = objects.argsort(stable=True), counts.cumsum(0) - counts
    cells = targets.new_tensor((width, height))
    centre, size = targets[rows, 2:4] * cells, targets[rows, 4:6] * cells
    low, high = centre - size / 2, centre + size / 2
    middle = torch.minimum(centre.floor(), cells - 1)
    first = torch.minimum((low - 0.5).ceil(), middle).clamp(min=0)
    last = torch.minimum(torch.maximum((high - 0.5).ceil() - 1, middle), cells - 1)
    first, sides = first.long(), (last - first + 1).long()
    for part in _alike(sides.prod(1), counts):
        k = torch.arange(int(counts[part].max()), device=targets.device)
        real = k < counts[part, None]
        answers = order[(starts[part, None] + k) * real]
        p = torch.arange(int(sides[part].prod(1).max()), device=targets.device)
        columns, lines = sides[part, :1], sides[part, 1:]
        inside = p < columns * lines
        row = first[part, 1:] + p // columns * inside
        column = first[part, :1] + p % columns * inside
        picture = targets[rows[part], :1].long()
        places = (picture * height + row) * width + column
        area = size[part].prod(1).clamp(min=1)
        yield Crops(rows[part], answers, real, places, inside, area)


def _alike(cells: Tensor, counts: Tensor) -> Iterator[Tensor]:
    """Yield indices of objects, smallest boxes first, as many as go into one step."""
    order = cells.argsort(stable=True)
    numbers = torch.stack((cells[order], counts[order])).tolist()
    start, most, widest = 0, 0, 0
    for end, (area, count) in enumerate(zip(*numbers, strict=True)):
        values = (end + 1 - start) * area * max(most, count)
        if end > start and (area > widest or values > MOST_VALUES):
            yield order[start:end]
            start = end
        if start == end:
            most, widest = 0, max(MOST_PADDING * area, SMALL)
        most = max(most, count)
    yield order[start:]


def gather(protos: Tensor, crops: Sequence[Crops]) -> list[Tensor]:
    """Return the prototypes (B, masks, H, W) in the objects' boxes, (n, P, masks) of each step.

    All at once: the gradient of every gathering has the prototypes' whole size.
    """
    rows = protos.float().permute(0, 2, 3, 1).flatten(0, 2)
    places = [step.places.flatten() for step in crops]
    parts = rows.index_select(0, torch.cat(places)).split([len(part) for part in places])
    return [part.view(*step.places.shape, -1) for part, step in zip(parts, crops, strict=True)]


def compose(coefficients: Tensor, crops: Crops, protos: Tensor) -> Tensor:
    """Return the logits of masks in the boxes, (n, K, P).

    Args:
        coefficients: (M, masks) of all answers.
        crops: the objects of a step.
        protos: (n, P, masks), from `gather`.
    """
    # Not in half precision: 32 products are added up, and their sign is the mask.
    with torch.autocast(protos.device.type, enabled=False):
        return coefficients[crops.answers] @ protos.transpose(1, 2)


def compare(
    targets: Tensor,
    answers: Answers,
    protos: Tensor,
    difference: Callable[[Crops, Tensor], Tensor],
) -> Tensor:
    """Return how far every answer's mask is from what it should be, (M,).

    That is the sum of differences over the cells in its object's box, divided by the box's area.

    Args:
        targets: as in `crops_of`.
        answers: whose masks are looked at.
        protos: (B, masks, H, W).
        difference: given objects and their masks' logits (n, K, P), returns the difference in
            every cell, of the same shape.
    """

    def values(coefficients: Tensor, crops: Crops, protos: Tensor) -> Tensor:
        every = difference(crops, compose(coefficients, crops, protos)) * crops.inside[:, None]
        return every.sum(2) / crops.area[:, None]

    steps = list(crops_of(targets, answers.target, *protos.shape[2:]))
    if not steps:
        # Several processes wait for gradients of the prototypes, also where no object is.
        return answers.coefficients.new_zeros(len(answers.target)) + protos[:0].float().sum()
    total = answers.coefficients.new_zeros(len(answers.target))
    for crops, part in zip(steps, gather(protos, steps), strict=True):
        # Computed again for the gradients: of the masks, only one step's are in memory.
        value = checkpoint(
            values,
            answers.coefficients,
            crops,
            part,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        total = total.index_add(0, crops.answers[crops.real], value[crops.real])
    return total


def picture_means(values: Tensor, answers: Answers, levels: int, batch: int) -> Tensor:
    """Return each picture's mean over its answers of a level, summed over the levels: (B,)."""
    total = values.new_zeros(levels * batch)
    mass = total.index_add(0, answers.group, answers.weights)
    total = total.index_add(0, answers.group, answers.weights * values)
    return (total / torch.where(mass > 0, mass, 1)).view(levels, batch).sum(0)
