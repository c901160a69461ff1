# SPDX-License-Identifier: Apache-2.0
"""Chooses how activations are rounded, by AP on the pictures for choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .ranges import CALIBRATORS

AUTO = 'auto'

# SiLU is within 0.015 of 0 below the first, within 0.07 below the second: what its input does
# further down need not be told apart, and the 8 bits go to where values make a difference.
Floors = Sequence[float | None]
SILU_FLOORS: Floors = (-6.0, -4.0, None)


@dataclass(frozen=True)
class Candidate:
    """A way of choosing ranges.

    Attributes:
        calibrator: one of `ranges.CALIBRATORS`.
        silu_floor: see `ranges.activation_ranges`.
    """

    calibrator: str
    silu_floor: float | None

    @classmethod
    def usual(cls, calibrator: str, floors: Floors = SILU_FLOORS) -> Candidate:
        """Return a calibrator with its usual floor: MSE finds its own."""
        return cls(calibrator, None if calibrator == 'mse' else floors[0])


# What is taken where there are no pictures to choose on: it was among the three best for every
# runtime (docs/quantization.md).
DEFAULT = 'percentile-99.999'

Tried = dict[Candidate, float]


def choose(
    calibrator: str,
    measure: Callable[[Candidate], float] | None,
    floors: Floors = SILU_FLOORS,
) -> tuple[Candidate, Tried]:
    """Return the candidate with the highest AP, and the AP of all that were tried.

    All calibrators are tried with one floor under SiLU's input, then the best with others: a grid
    of both would ask more of few pictures than they can tell.

    Args:
        calibrator: AUTO, or the only one to try.
        measure: gives the AP of a candidate; None where there are no pictures for choices.
        floors: that make a difference, the usual one first.
    """
    if measure is None:
        return Candidate.usual(DEFAULT if calibrator == AUTO else calibrator, floors), {}
    tried: Tried = {}
    for name in CALIBRATORS if calibrator == AUTO else [calibrator]:
        candidate = Candidate.usual(name, floors)
        tried[candidate] = measure(candidate)
    best = max(tried, key=tried.__getitem__)
    for floor in floors:
        candidate = Candidate(best.calibrator, floor)
        if candidate not in tried and best.calibrator != 'mse':
            tried[candidate] = measure(candidate)
    return max(tried, key=tried.__getitem__), tried
