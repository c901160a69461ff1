# SPDX-License-Identifier: Apache-2.0
"""Trucks: a cab and one of several loads."""

from __future__ import annotations

from random import Random

from .bodywork import (
    DARK,
    GLASS,
    PAINTS,
    PLATE,
    RED_LIGHT,
    RUBBER,
    WHITE_LIGHT,
    mixed,
    paint,
    wheels,
)
from .mesh import MeshBuilder, Solid


def truck(random: Random) -> Solid:
    """Return a box truck, dropside, tanker or refuse lorry of 6.5 to 10.5 m."""
    length, width = random.uniform(6.5, 10.5), random.uniform(2.3, 2.5)
    height = random.uniform(3.0, 3.8)
    half, cab_length, cab_height = width / 2, 2.0, min(random.uniform(2.6, 3.1), height)
    colour = paint(random)
    cab = MeshBuilder()
    z1, z2 = -cab_length / 2, cab_length / 2
    narrow = half * 0.96
    cab.on('+z', z2, (-narrow, 0.3, narrow, 0.5), (14, 14, 14))
    cab.box((-narrow, 0.45, z1), (narrow, cab_height, z2), colour)
    cab.on('+z', z2 + 0.01, (-narrow * 0.94, 1.5, narrow * 0.94, cab_height - 0.35), GLASS)
    cab.on('+z', z2 + 0.01, (-narrow * 0.94, 2.1, narrow * 0.5, cab_height - 0.35), (104, 94, 84),
           detail=10)  # fmt: skip
    cab.on('+z', z2 + 0.01, (-narrow * 0.8, 0.85, narrow * 0.8, 1.35), DARK)
    for k in range(3):
        cab.on('+z', z2 + 0.02, (-narrow * 0.7, 0.92 + 0.14 * k, narrow * 0.7, 0.96 + 0.14 * k),
               (120, 120, 120), detail=16)  # fmt: skip
    cab.on('+z', z2 + 0.01, (-narrow, 0.45, narrow, 0.75), mixed(colour, 0.55))
    for sign in (1.0, -1.0):
        axis = '+x' if sign > 0 else '-x'
        cab.on(axis, sign * (narrow + 0.01), (z1 + 0.6, 1.5, z2 - 0.25, cab_height - 0.45), GLASS)
        cab.on(axis, sign * (narrow + 0.01), (z1 + 0.5, 0.6, z1 + 0.53, cab_height - 0.4), DARK,
               detail=16)  # fmt: skip
        a, b = sorted((sign * narrow * 0.96, sign * narrow * 0.65))
        cab.on('+z', z2 + 0.02, (a, 0.55, b, 0.72), WHITE_LIGHT, glow=0.3)
        cab.lamp((sign * narrow * 0.8, 0.63, z2 + 0.05), (0, 0, 1), (200, 225, 235), 0.7)
        a, b = sorted((sign * (narrow + 0.03), sign * (narrow + 0.25)))
        for at in ('+z', '-z'):
            cab.on(at, z2 - 0.1, (a, 1.5, b, 2.2), DARK)
    wheels(cab, narrow, 0.5, (0.1,))
    cargo = MeshBuilder()
    rest = length - cab_length - 0.25
    load = _LOADS[random.choices(range(3), (6, 2, 2))[0]]
    load(cargo, random, half, height, rest)
    back = -rest / 2
    cargo.on('-z', back - 0.02, (-half, 0.55, half, 0.75), DARK)
    for x in (-half * 0.75, half * 0.75):
        cargo.on('-z', back + 0.5, (x - 0.25, 0.0, x + 0.25, 0.9), RUBBER)
        cargo.on('-z', back - 0.03, (x - 0.2, 0.57, x + 0.2, 0.73), RED_LIGHT, glow=0.25)
        cargo.lamp((x, 0.65, back - 0.05), (0, 0, -1), (40, 30, 230), 0.4)
    cargo.on('-z', back - 0.03, (-0.26, 0.58, 0.26, 0.7), PLATE, detail=12)
    wheels(cargo, half * 0.98, 0.5, (back + 1.0, back + 2.1) if rest > 5 else (back + 1.2,))
    parts = (
        (cab.build(), (0.0, length / 2 - cab_length / 2, 0.0)),
        (cargo.build(), (0.0, back + rest - length / 2, 0.0)),
    )
    return Solid(parts, (width, height, length))


def _closed_box(
    build: MeshBuilder, random: Random, half: float, height: float, length: float
) -> None:
    colour = random.choice([(228, 228, 226), (200, 202, 205), (170, 110, 60), (60, 70, 170),
                            (80, 140, 80), (60, 150, 220)])  # fmt: skip
    z1, z2 = -length / 2, length / 2
    build.box((-half, 0.75, z1), (half, height, z2), colour)
    build.on('-x', -half, (z1, 0.6, z2, 0.85), DARK)
    build.on('+x', half, (z1, 0.6, z2, 0.85), DARK)
    build.on('-z', z1 - 0.01, (-0.02, 0.8, 0.02, height - 0.05), DARK, detail=10)
    for x in (-half * 0.5, half * 0.5):
        build.on(
            '-z', z1 - 0.01, (x - 0.02, 0.85, x + 0.02, height - 0.1), (110, 110, 110), detail=10
        )
    logo = random.choice(PAINTS)[0]
    for axis, x in (('-x', -half - 0.01), ('+x', half + 0.01)):
        build.on(axis, x, (z1 + length * 0.2, 1.6, z1 + length * 0.7, 2.4), logo, detail=5)
        build.on(axis, x, (z1 + length * 0.25, 1.8, z1 + length * 0.6, 1.95), (235, 235, 235),
                 detail=14)  # fmt: skip
    build.on('-z', z1 - 0.01, (-half, 0.75, half, 0.85), (40, 40, 160), detail=8)


def _dropside(
    build: MeshBuilder, random: Random, half: float, height: float, length: float
) -> None:
    colour = random.choice([(40, 110, 200), (130, 130, 128), (60, 120, 60), (40, 160, 220)])
    z1, z2 = -length / 2, length / 2
    top = random.uniform(1.6, 2.1)
    build.box((-half, 0.8, z1), (half, top, z2), colour, top=(60, 80, 100))
    heap = random.choice([(70, 95, 120), (120, 125, 130), (60, 60, 60)])
    peak = top + 0.5
    for a, b in (((-1, -1), (1, -1)), ((1, -1), (1, 1)), ((1, 1), (-1, 1)), ((-1, 1), (-1, -1))):
        corners = [(a[0] * half * 0.9, top, a[1] * z2 * 0.9), (0, peak, 0),
                   (b[0] * half * 0.9, top, b[1] * z2 * 0.9)]  # fmt: skip
        build.face(corners, heap, (a[0] + b[0], 1, a[1] + b[1]))
    for k in range(4):
        z = z1 + length * (k + 0.5) / 4
        for axis, x in (('-x', -half - 0.01), ('+x', half + 0.01)):
            build.on(axis, x, (z - 0.05, 0.8, z + 0.05, top), mixed(colour, 0.6), detail=10)


def _refuse(build: MeshBuilder, random: Random, half: float, height: float, length: float) -> None:
    colour = random.choice([(50, 120, 230), (225, 225, 225), (60, 140, 60)])
    z1, z2 = -length / 2, length / 2
    build.box((-half, 0.75, z1 + 1.2), (half, height, z2), colour)
    out = (0.0, 0.3, -1.0)
    build.face(
        [(-half, 0.8, z1), (half, 0.8, z1), (half, height * 0.8, z1), (-half, height * 0.8, z1)],
        mixed(colour, 0.8),
        out,
    )
    for sign in (1.0, -1.0):
        build.face([(sign * half, 0.8, z1), (sign * half, height * 0.8, z1),
                    (sign * half, height, z1 + 1.2), (sign * half, 0.8, z1 + 1.2)],
                   mixed(colour, 0.85), (sign, 0, 0))  # fmt: skip
    build.on('-z', z1 - 0.01, (-half * 0.8, 0.9, half * 0.8, height * 0.5), (40, 40, 40))
    for x in (-half * 0.9, half * 0.6):  # red and white warning plates
        build.on('-z', z1 - 0.02, (x, 1.0, x + 0.3, 1.6), (230, 230, 235), detail=8)
        build.on('-z', z1 - 0.03, (x, 1.2, x + 0.3, 1.4), (40, 40, 200), detail=8)


_LOADS = (_closed_box, _dropside, _refuse)
