# SPDX-License-Identifier: Apache-2.0
"""How strongly the teacher counts in the course of a run."""

from __future__ import annotations

import math


def strength(epoch: float, end: int, warmup: float, schedule: str) -> float:
    """Return the factor of all gains: up during warm-up, constant or down to 0, 0 from the end.

    Args:
        epoch: counted from 0, with its fraction.
        end: the first epoch without a teacher.
        warmup: epochs.
        schedule: 'constant', or 'cosine' for half a cosine from 1 to 0 over all epochs.
    """
    if epoch >= end:
        return 0.0
    rise = min(epoch / warmup, 1.0) if warmup else 1.0
    left = (1 + math.cos(math.pi * epoch / end)) / 2 if schedule == 'cosine' else 1.0
    return rise * left
