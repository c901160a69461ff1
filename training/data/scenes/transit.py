# SPDX-License-Identifier: Apache-2.0
"""Buses and trams."""

from __future__ import annotations

from random import Random

from .bodywork import (
    DARK,
    GLASS,
    PAINTS,
    PLATE,
    RED_LIGHT,
    WHITE_LIGHT,
    carriage,
    mixed,
    underside,
    wheels,
    window_band,
)
from .mesh import MeshBuilder, Solid


def bus(random: Random) -> Solid:
    """Return a city bus or a coach of 10.5 to 13 m."""
    length, width, height = random.uniform(10.5, 13), 2.5, random.uniform(2.95, 3.3)
    body = random.choice([(60, 60, 205), (45, 195, 235), (228, 226, 222), (150, 90, 40),
                          (70, 150, 70), (215, 212, 208), (160, 165, 60)])  # fmt: skip
    lower = random.choice([body, (225, 224, 222), (90, 86, 82), mixed(body, 0.6)])
    half, front = width / 2, length / 2
    build = MeshBuilder()
    underside(build, half, length, 0.48, far=True)
    carriage(build, (width, height, length), 0.32, body, lower, mixed(body, 0.9))
    doors = (front - 1.0, -0.2, -front + 2.4)
    window_band(build, half, length, (1.35, height - 0.55), 1.6, doors, 0.32)
    for axis, z in (('+z', front + 0.01), ('-z', -front - 0.01)):
        ahead = axis == '+z'
        low = 1.05 if ahead else 1.6
        build.on(axis, z, (-1.15, low, 1.15, height - 0.62), GLASS)
        build.on(axis, z, (-1.15, 2.0, 1.15, height - 0.62), (100, 90, 80), detail=10)
        build.on(axis, z, (-0.95, height - 0.55, 0.95, height - 0.25), (20, 20, 20))
        text = (40, 170, 250)
        for k in range(8):  # the line and where it goes, as far as one can read it
            x = -0.85 + 0.2 * k + (0.08 if k > 1 else 0)
            build.on(
                axis, z, (x, height - 0.48, x + 0.13, height - 0.32), text, glow=0.9, detail=14
            )
        for sign in (1.0, -1.0):
            a, b = sorted((sign * 1.15, sign * 0.8))
            light = WHITE_LIGHT if ahead else RED_LIGHT
            build.on(axis, z, (a, 0.6, b, 0.85 if ahead else 1.15), light, glow=0.25)
            colour = (200, 225, 235) if ahead else (40, 30, 230)
            build.lamp((sign, 0.75, z * 1.01), (0, 0, 1 if ahead else -1), colour, 0.6)
        build.on(axis, z, (-0.26, 0.5, 0.26, 0.62), PLATE, detail=12)
        build.on(axis, z, (-1.2, 0.34, 1.2, 0.48), DARK, detail=8)
    if random.random() < 0.4:  # an advertisement along the side
        for axis, x in (('-x', -half - 0.01), ('+x', half + 0.01)):
            z = random.uniform(-3, 0)
            build.on(axis, x, (z, 0.55, z + 3, 1.25), random.choice(PAINTS)[0], detail=6)
    for sign in (1.0, -1.0):
        a, b = sorted((sign * (half + 0.02), sign * (half + 0.3)))
        build.on('+z', front + 0.1, (a, 1.9, b, 2.5), DARK, detail=8)
        build.on('-z', front - 0.1, (a, 1.9, b, 2.5), DARK, detail=8)
    wheels(build, half, 0.48, (front - 2.7, -front + 3.2))
    return Solid(((build.build(), (0.0, 0.0, 0.0)),), (width, height, length))


def tram(random: Random) -> Solid:
    """Return a tram of two or three linked cars, 18 to 32 m, Cityscapes' class `train`."""
    cars, width, height = random.choice([2, 3]), 2.4, 3.4
    length = random.uniform(9, 10.5)
    body = random.choice([(50, 50, 190), (225, 225, 222), (60, 190, 235), (150, 80, 40),
                          (90, 150, 60)])  # fmt: skip
    lower = random.choice([(60, 60, 60), (220, 220, 218), mixed(body, 0.7)])
    parts = []
    for k in range(cars):
        build = MeshBuilder()
        half = width / 2
        build.on('-z', -length / 2, (-half * 0.8, 0.05, half * 0.8, 0.4), (14, 14, 14))
        build.on('+z', length / 2, (-half * 0.8, 0.05, half * 0.8, 0.4), (14, 14, 14))
        for axis, x in (('-x', -half * 0.95), ('+x', half * 0.95)):
            build.on(axis, x, (-length / 2, 0.1, length / 2, 0.4), (20, 20, 20))
        carriage(build, (width, height, length), 0.3, body, lower, (150, 148, 145))
        window_band(build, half, length, (1.25, height - 0.6), 1.9,
                     (-length * 0.25, length * 0.25), 0.3)  # fmt: skip
        ends = [('+z', 1.0)] * (k == cars - 1) + [('-z', -1.0)] * (k == 0)
        for axis, sign in ends:
            z = sign * (length / 2 + 0.01)
            build.on(axis, z, (-1.05, 1.2, 1.05, height - 0.75), GLASS)
            build.on(axis, z, (-1.05, 2.0, 1.05, height - 0.75), (98, 88, 78), detail=10)
            build.on(axis, z, (-0.7, height - 0.65, 0.7, height - 0.35), (20, 20, 20))
            build.on(axis, z, (-0.45, height - 0.58, 0.55, height - 0.42), (40, 170, 250), 0.9, 12)
            light = (200, 225, 235) if sign > 0 else (40, 30, 230)
            for x in (-0.85, 0.85):
                build.on(axis, z, (x - 0.15, 0.75, x + 0.15, 0.95), light, glow=0.3)
                build.lamp((x, 0.85, z * 1.01), (0, 0, sign), light, 0.6)
        if k == cars - 1:  # the pantograph
            for z in (-0.9, 0.9):
                build.face([(-0.4, height, z), (-0.4, height + 0.9, 0), (-0.33, height + 0.9, 0),
                            (-0.33, height, z)], (50, 50, 50), None, detail=8)  # fmt: skip
            build.face([(-0.8, height + 0.9, 0), (0.8, height + 0.9, 0), (0.8, height + 1, 0),
                        (-0.8, height + 1, 0)], (40, 40, 40), None, detail=8)  # fmt: skip
        parts.append((build.build(), (0.0, (k - (cars - 1) / 2) * (length + 0.5), 0.0)))
        if k:
            joint = MeshBuilder()
            joint.box((-1.0, 0.4, -0.3), (1.0, height - 0.2, 0.3), (48, 47, 46))
            place = (0.0, (k - 0.5 - (cars - 1) / 2) * (length + 0.5), 0.0)
            parts.append((joint.build(), place))
    return Solid(tuple(parts), (width, height, cars * (length + 0.5)))
