# SPDX-License-Identifier: Apache-2.0
"""Chooses how ONNX Runtime's activations are rounded, by AP on the pictures for choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .ranges import CALIBRATORS

AUTO = 'auto'

# SiLU is within 0.015 of 0 below the first, within 0.07 below the second: what its input does
# further down need not be told apart, and the 8 bits go to where values make a difference.
SILU_FLOORS = (-6.0, -4.0, None)


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
    def usual(cls, calibrator: str) -> Candidate:
        """Return a calibrator with its usual floor: MSE finds its own."""
        return cls(calibrator, None if calibrator == 'mse' else SILU_FLOORS[0])


# What is taken where there are no pictures to choose on: of all it comes nearest to the float
# network where that sees objects (docs/quantization.md).
DEFAULT = Candidate.usual('picture-quantile')

Tried = dict[Candidate, float]


def choose(
    calibrator: str, measure: Callable[[Candidate], float] | None
) -> tuple[Candidate, Tried]:
    """Return the candidate with the highest AP, and the AP of all that were tried.

    All calibrators are tried with one floor under SiLU's input, then the best with others: a grid
    of both would ask more of few pictures than they can tell.

    Args:
        calibrator: AUTO, or the only one to try.
        measure: gives the AP of a candidate; None where there are no pictures for choices.
    """
    alone = DEFAULT if calibrator == AUTO else Candidate.usual(calibrator)
    if measure is None:
        return alone, {}
    tried: Tried = {}
    first = [Candidate.usual(name) for name in CALIBRATORS] if calibrator == AUTO else [alone]
    for candidate in first:
        tried[candidate] = measure(candidate)
    best = max(tried, key=tried.__getitem__)
    for floor in SILU_FLOORS:
        candidate = Candidate(best.calibrator, floor)
        if candidate not in tried and best.calibrator != 'mse':
            tried[candidate] = measure(candidate)
    return max(tried, key=tried.__getitem__), tried
