# SPDX-License-Identifier: Apache-2.0
"""The flat part of a street: asphalt, pavements, kerbs, what was mended, markings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .ground import Ground, Road, Strip
from .plan import KERB, LANE, Plan
from .things import SIGHT

_WHITE = (205, 208, 208)


def lay_ground(plan: Plan, road: Road) -> Ground:
    """Return everything flat of a street."""
    random = plan.random
    tone = random.uniform(76, 118)
    asphalt = (tone * 1.02, tone, tone * 0.98)
    paving = tuple(
        random.uniform(132, 168) * c for c in random.choice(((1, 1, 1), (0.92, 0.97, 1.04)))
    )
    base = random.choice(((118, 124, 126), (70, 122, 96), (126, 132, 136)))
    left, right = plan.kerbs
    ground = Ground(road, base)
    add, end = ground.strips.append, plan.length + 60
    for side, kerb in ((-1, left), (1, right)):
        width = plan.pavement[side > 0]
        inner, outer = side * kerb, side * (kerb + width)
        add(Strip(inner, outer, -20, end, paving, KERB))
        for s in np.arange(-6, plan.length - 65, 2.4):  # joints between the slabs
            add(Strip(inner, outer, s, s + 0.05, tuple(0.86 * c for c in paving), KERB))
        middle = side * (kerb + width * 0.45)
        add(Strip(middle, middle + 0.05, -20, end, tuple(0.88 * c for c in paving), KERB))
    add(Strip(-left, right, -20, end, asphalt))
    for side, kerb in ((-1, left), (1, right)):
        stone = tuple(1.08 * c for c in paving)
        add(Strip(side * kerb, side * (kerb + 0.16), -20, end, stone, KERB))
        add(Strip(side * kerb, side * kerb, -20, end, tuple(0.75 * c for c in stone), KERB, True))
        if plan.parking[side > 0]:
            bay = tuple(c * random.uniform(0.9, 1.12) for c in asphalt)
            add(Strip(side * (kerb - 2.2), side * kerb, -20, end, bay))
            add(Strip(side * (kerb - 2.26), side * (kerb - 2.16), -20, end, _WHITE))
    for at, half, _ in plan.crossings:
        add(Strip(-70, 70, at - half, at + half, asphalt))
    _wear(plan, ground, asphalt)
    _markings(plan, ground)
    return ground


def _wear(plan: Plan, ground: Ground, asphalt: tuple[float, ...]) -> None:
    random = plan.random
    left, right = plan.kerbs
    for _ in range(random.randrange(8) * round(plan.length / SIGHT)):  # where the road was mended
        s, d = random.uniform(0, plan.length - 65), random.uniform(-left, right - 1.5)
        factor = random.uniform(0.8, 1.1)
        patch = tuple(c * factor for c in asphalt)
        ground.strips.append(
            Strip(d, d + random.uniform(0.6, 2), s, s + random.uniform(1, 6), patch)
        )
    for _ in range(random.randrange(4) * round(plan.length / SIGHT)):  # manholes
        s, d = random.uniform(3, plan.length - 85), random.uniform(-left, right)
        ground.strips.append(Strip(d, d + 0.6, s, s + 0.6, tuple(c * 0.6 for c in asphalt)))
        ground.strips.append(
            Strip(d + 0.08, d + 0.52, s + 0.08, s + 0.52, tuple(c * 0.78 for c in asphalt))
        )


def _markings(plan: Plan, ground: Ground) -> None:
    random = plan.random
    add, end = ground.strips.append, plan.length + 40
    faded = random.uniform(0.72, 1.0)
    white = tuple(c * faded for c in _WHITE)

    def line(d: float, dash: float, gap: float, width: float = 0.12) -> None:
        if not gap:
            for s1, s2 in _between_crossings(plan, -15, end):
                add(Strip(d - width / 2, d + width / 2, s1, s2, white))
            return
        for s in np.arange(-10, end - 35, dash + gap):
            if plan.free(s + dash / 2, dash / 2 + 1):
                add(Strip(d - width / 2, d + width / 2, s, s + dash, white))

    if plan.tracks:
        for middle in (-1.65, 1.65):
            for rail in (-0.72, 0.72):
                add(Strip(middle + rail - 0.05, middle + rail + 0.05, -20, end, (70, 72, 74)))
        for d in (-3.3, 3.3):
            line(d, 3, 0)
    else:
        line(0, 3, random.choice((0, 3, 6)))
    for side in (-1, 1):
        for k in range(1, plan.each_way):
            line(side * (plan.median + LANE * k), 3, 6)
        outer = plan.median + LANE * plan.each_way
        if plan.cycle_lane:
            line(side * outer, 1, 1, 0.2)
            if random.random() < 0.3:
                for s1, s2 in _between_crossings(plan, -15, end):
                    d1, d2 = sorted((side * (outer + 0.15), side * (outer + 1.5)))
                    add(Strip(d1, d2, s1, s2, (72, 74, 132)))
    left, right = plan.kerbs
    for at, half, _ in plan.crossings:
        for end_of, sign in ((at - half - 3.4, -1), (at + half + 0.6, 1)):
            if random.random() < 0.7:
                for d in np.arange(-left + 0.4, right - 0.4, 1.0):
                    add(Strip(d, d + 0.5, end_of, end_of + 2.8, white))
            stop = end_of - 1.2 if sign < 0 else end_of + 3.6
            if sign < 0:
                d1, d2 = plan.median, right - 2.2 * plan.parking[1]
            else:
                d1, d2 = 2.2 * plan.parking[0] - left, -plan.median
            add(Strip(d1, d2, stop, stop + 0.4, white))


def _between_crossings(plan: Plan, start: float, end: float) -> Iterator[tuple[float, float]]:
    for at, half, _ in plan.crossings:
        if at - half - 5 > start:
            yield start, at - half - 5
        start = at + half + 5
    if end > start:
        yield start, end
